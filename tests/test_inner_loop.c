/* The innermost loop of each vendor's assembly, in the layouts that their drivers print, and listings that
 * are none. */
#include "unit.h"

#include "inner_loop.h"

#include <math.h>

static void expect(const inner_loop *loop, double share, double multiply_adds, double cycles, double counted)
{
    if (fabs(loop->share - share) >= 1e-9) fail_msg("share %g, wanted %g", loop->share, share);
    assert_true(loop->multiply_adds == multiply_adds);
    assert_true(loop->cycles == cycles);
    assert_true(loop->counted == counted);
}

/* Two loops, one in the other, and multiply-adds around them; a header of its own and two at once. */
static void test_amd(void **state)
{
    static const char listing[] =
        "BB0:\n"
        "\tv_fma_f32 v1, v2, v3, v1                ; d6130001\n"
        "BB1:\n"
        "\tv_mul_f32_e32 v9, v2, v3                ; 10120702\n"
        "\ts_cbranch_scc1 BB5                      ; bfa20010\n"
        "BB2:\n"
        "\ts_cmp_ge_u32 s0, s6                     ; bf090600\n"
        "\ts_cbranch_scc1 BB4                      ; bfa20008\n"
        "BB3:\n"
        "\tv_dual_mul_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6 ; c8c00702 01040d05\n"
        "\tv_add_f32_e32 v1, v1, v4                ; 06020901\n"
        "\tv_mad_u32_u24 v7, v7, v8, v9            ; d60b0007\n"
        "\ts_branch BB2                            ; bfa0fffa\n"
        "BB4:\n"
        "\ts_branch BB1                            ; bfa0fff0\n"
        "BB5:\n"
        "\ts_endpgm                                ; bfb00000\n";
    (void)state;
    inner_loop loop = inner_loop_of("Assembly", listing, 64);
    expect(&loop, 2.0 / 6, 2, -1, 1 + 8 * 1 + 32 * 2);
    static const char searching[] = "BB0:\n\ts_nop 0 ; bf80\nBB1:\n\ts_cbranch_scc1 BB1 ; bfa2\n"
                                    "\tv_mul_f32 v1, v2, v3 ; 1012\n\ts_branch BB0 ; bfa0\n";
    loop = inner_loop_of("Assembly", searching, 64);
    expect(&loop, 1.0 / 4, 1, -1, 8);
    static const char matrices[] =
        "BB0:\n\tv_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7] ; cc40\n"
        "\ts_add_u32 s0, s0, 1 ; 8000\n\ts_cbranch_scc1 BB0 ; bfa2\n\ts_endpgm ; bfb0\n";
    loop = inner_loop_of("Assembly", matrices, 64);
    expect(&loop, 1.0 / 3, -1, -1, -1);
}

/* Half a subgroup at a time; integers are no floats, and what explains a message is no instruction. */
static void test_intel(void **state)
{
    static const char listing[] =
        "mul(8)          g9<1>F          g8<1,1,0>F      g7<1,1,0>F      { align1 1Q };\n"
        "\nLABEL1:\n"
        "cmp.ge.f0.0(8)  null<1>UD       g1<8,8,1>UD     g2<0,1,0>UD     { align1 1Q };\n"
        "(+f0.0) break(8) JIP:  LABEL0         UIP:  LABEL0              { align1 1Q };\n"
        "send(8)         g3UD            g6UD            nullUD          0x62403500  0x03000000\n"
        "                            ugm MsgDesc: ( load, a32, mad(8) g1<1>F ) base_offset 0 { align1 1Q };\n"
        "mad(8)          g45<1>F         g44<8,8,1>F     g43<8,8,1>F     g42<1,1,1>F { align1 1Q };\n"
        "mad(8)          g46<1>F         g44<8,8,1>F     g43<8,8,1>F     g42<1,1,1>F { align1 2Q };\n"
        "mul(8)          g11<1>D         g11<8,8,1>D     g91.1<0,1,0>UW  { align1 1Q };\n"
        "\nLABEL0:\n"
        "while(8)        JIP:  LABEL1                                    { align1 1Q };\n"
        "send(8)         nullUD          g126UD          nullUD          0x02000000  0x00000000 { align1 EOT "
        "};\n";
    (void)state;
    inner_loop loop = inner_loop_of("GEN Assembly", listing, 16);
    expect(&loop, 2.0 / 7, 1, -1, 0.5 + 10 * 1);
}

/* A block that leaves the loop stands in the middle of it, and is no part. */
static void test_nvidia(void **state)
{
    static const char listing[] =
        "block.u 0 L1 [] -> {\n"
        "      r0        = mov rZ                                 // delay=1\n"
        "} -> [1]\n"
        "block.u 1 L10 [0, 3] -> {\n"
        "      up0       = isetp.ge.u32 ur9 ur4                   // delay=9\n"
        "                  bra !up0 L12                           // delay=1 wt=001111\n"
        "} -> [2, 3]\n"
        "block.u 2 L11 [1] -> {\n"
        "      r92       = fadd.ftz r88 r20                       // delay=5\n"
        "                  exit                                   // delay=1\n"
        "} -> []\n"
        "block.u 3 L12 [1] -> {\n"
        "      r97       = fmul.ftz r132 r100                     // delay=1\n"
        "      r98       = ffma.ftz r132 r101 r98                 // delay=4\n"
        "      r97       = fadd.ftz r97 r98                       // delay=2\n"
        "                  bra pT L10                             // delay=1\n"
        "} -> [1]\n";
    (void)state;
    inner_loop loop = inner_loop_of("NAK assembly", listing, 32);
    expect(&loop, 3.0 / 6, 2, 18, -1);
}

/* What is repeated takes as many turns; so does waiting. */
static void test_adreno(void **state)
{
    static const char listing[] = "; num_ubos:           0\n"
                                  "@in(r0.x)\tin0 (wrmask=0x7)\n"
                                  "l1:\n"
                                  "cmps.u.ge p0.y, r49.z, c0.w\n"
                                  "(ss)br p0.y, #l2\n"
                                  "(sy)(rpt3)mad.f32 r1.x, (r)r2.x, c8.w, (r)r1.x\n"
                                  "(nop2) mul.f r1.x, r1.x, r2.x\n"
                                  "mull.u r50.w, r49.z, c9.y\n"
                                  "jump #l1\n"
                                  "l2:\n"
                                  "end\n";
    (void)state;
    inner_loop loop = inner_loop_of("IR3 Assembly", listing, 64);
    expect(&loop, 5.0 / 11, 5, -1, -1);
}

static void test_nothing(void **state)
{
    static const char *const dialects[] = {"Assembly", "GEN Assembly", "NAK assembly", "IR3 Assembly",
                                           "LLVM"};
    static const char *const listings[] = {"",
                                           "\n\n",
                                           "BB0:\n\tv_fma_f32 v1, v2, v3, v1 ; d613\n\ts_endpgm ; bfb0\n",
                                           "BB0:\n",
                                           "} -> [0]\n",
                                           "block.u 0 L1 [] -> {\n} -> [0\n",
                                           "(((((",
                                           "@",
                                           "while(8) JIP: LABEL1 { align1 1Q };",
                                           "\ts_branch",
                                           "jump #\n(rpt)",
                                           "BB0:\n\ts_branch BB0 ; bfa0"};
    (void)state;
    for (size_t d = 0; d < sizeof dialects / sizeof dialects[0]; d++) {
        inner_loop loop = inner_loop_of(dialects[d], NULL, 32);
        expect(&loop, -1, -1, -1, -1);
        for (size_t i = 0; i < sizeof listings / sizeof listings[0]; i++) {
            loop = inner_loop_of(dialects[d], listings[i], 0);
            assert_true(loop.multiply_adds == -1 && loop.share == -1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amd),    cmocka_unit_test(test_intel),   cmocka_unit_test(test_nvidia),
        cmocka_unit_test(test_adreno), cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
