# shellcheck shell=bash disable=SC2016
# Sourced by drivers.sh: tables out of what `pumice check --compile` printed. NAME.compile in a folder is one
# GPU's; the columns are those of tools/check_compile.c.

# Shared by the awk programs. kernel() is what the baseline knows a row by, a matmul with its layout; role() is what it
# does, whether through shared memory, or by matrix units, or not. In tables the first of a role counts, since sizes worth timing come first,
# and of tiles the first of the largest.
report_functions='
function is_row() { return NF >= 15 && $1 != "shader" && $2 ~ /^(exact|f32|fast)/ }
function kernel(   c) {
    split($3, c, ",")
    return $1 ~ /^matmul(_shared)?$/ ? $1 " " (c[5] == 0 ? "AB" : c[5] == 1 ? "ABT" : "ATB") : $1
}
function role(   name) { name = kernel(); sub(/_shared|_matrix/, "", name); return name }
function counts(key,   c, size) {
    split($3, c, ",")
    size = $1 ~ /^(matmul|conv2d)/ && c[4] == 1 ? c[2] * c[3] : 0
    if (key in largest && size <= largest[key]) return 0
    largest[key] = size
    return 1
}
function number(x) { return x == "-" ? 0 : x + 0 }
function spills() { return number($6) + number($7) }
function print_cells(columns,   names, n, i, line) { # a GPU that has none of them has no row
    n = split(columns, names, ";")
    line = "| " gpu " |"
    for (i = 1; i <= n; i++) line = line " " ((names[i] in cell) ? cell[names[i]] : "-") " |"
    if (length(cell)) print line
}
function estimate() { return $11 == "-" ? number($10) : number($11) }
'

# GPU, driver, kernel, variant: most registers, spills and bytes of private memory, and the highest estimate.
make_baseline() {
    local file
    printf '# gpu\tdriver\tkernel\tvariant\tregisters\tspills\testimate (cycles, else instructions)\n'
    for file in "$1"/*.compile; do
        [ -e "$file" ] || continue
        awk -v gpu="$(basename "$file" .compile)" -v OFS='\t' "$report_functions"'
            /^driver: / { driver = $0; sub(/^driver: /, "", driver) }
            is_row() {
                key = kernel() OFS $2
                if (number($5) > registers[key]) registers[key] = number($5)
                if (estimate() > worst[key]) worst[key] = estimate()
                spilled[key] += spills()
            }
            END {
                for (key in worst) print gpu, driver, key, registers[key] + 0, spilled[key] + 0, worst[key]
            }' "$file" | LC_ALL=C sort
    done
}

# Says what got worse, and is false then. With another version of the driver only spills count.
compare_baseline() {
    [ -e "$2" ] || die "no baseline $2: make it with tools/drivers.sh --update"
    make_baseline "$1" | awk -F'\t' '
        /^#/ { next }
        { key = $1 "\t" $3 "\t" $4 }
        NR == FNR { spills[key] = $6; estimate[key] = $7; driver[key] = $2; next }
        !(key in spills) { fresh += $6 > 0; if ($6 > 0) print "new, with spills:  " $1 ", " $3 " (" $4 ")"; next }
        $6 > spills[key] { bad++; print "- " key " spills " spills[key]; print "+ " key " spills " $6 }
        driver[key] == $2 && $7 > 1.1 * estimate[key] {
            bad++; print "- " key " estimate " estimate[key]; print "+ " key " estimate " $7
        }
        { compared++ }
        END {
            print compared + 0 " kernels compared with the baseline, " bad + 0 " got worse"
            exit bad + fresh > 0
        }' "$2" -
}

# The files of that kind, in the order of drivers.sh's lists.
ordered() {
    local name
    for name in $names; do
        if [ -e "$1/$name.$2" ]; then echo "$1/$name.$2"; fi
    done
}

names="lavapipe-12 lavapipe-13 lavapipe-13-backports lavapipe-unstable lavapipe-unstable-gpu swiftshader
    polaris10-host polaris10 vega10-host vega10 navi10-host navi10 navi21-host navi21 navi31 navi31-new gfx1201 gfx1201-new
    skl icl tgl adl dg2 mtl lnl bmg pascal turing turing-new ampere ada hopper blackwell adreno660 adreno740 apple-m1"

compiles_table() {
    local file
    echo '| GPU | compiler | pipelines | most registers | with spills | least occupancy | subgroup of matmul | matrix units |'
    echo '|---|---|---|---|---|---|---|---|'
    for file in $(ordered "$1" compile); do
        awk -v gpu="$(basename "$file" .compile)" "$report_functions"'
            /^driver: / && !driver { driver = $0; sub(/^driver: /, "", driver) }
            /^device: / && !device { device = $0; sub(/^device: */, "", device); sub(/ *$/, "", device) }
            is_row() {
                n++
                bad += spills() > 0
                if (number($5) > most) { most = number($5); at = kernel() }
                if ($9 != "-" && number($9) > 0 && (least == "" || number($9) < least)) least = number($9)
                if (role() ~ /^matmul A/ && !subgroup) subgroup = $4
                if ($2 == "fast" && $1 ~ /_shared/) {
                    split($3, c, ",")
                    units = c[11] " x " c[12] " x " c[13] ", subgroup " c[14]
                }
                if ($2 == "fast-bf16") bf16 = ", and in bf16"
            }
            END {
                printf "| %s (%s) | %s | %d | %s | %d | %s | %s | %s |\n", gpu, device, driver, n,
                    most ? most " (" at ")" : "-", bad, least == "" ? "-" : least, subgroup, units ? units bf16 : "-"
            }' "$file"
    done
}

# table_head COLUMNS: with semicolons between.
table_head() {
    printf '| GPU | %s |\n' "${1//;/ | }"
    printf '|---|%s\n' "$(tr -dc ';\n' <<<"$1;" | sed 's/;/---|/g')"
}

hot='matmul AB;matmul ABT;matmul ATB;conv2d;conv2d_weight;attention;attention_token;attention_dq;attention_dkv;norm_moments;norm_apply;cross_entropy'

hot_table() {
    local file
    table_head "$3"
    for file in $(ordered "$1" compile); do
        awk -v gpu="$(basename "$file" .compile)" -v hot="$3" -v variant="$2" "$report_functions"'
            is_row() && $2 == variant {
                key = role()
                if (counts(key)) cell[key] = number($5) " / " spills() " / " estimate()
            }
            END { print_cells(hot) }' "$file"
    done
}

loops='matmul AB;matmul ABT;matmul ATB;conv2d;conv2d_weight'

loop_table() {
    local file
    table_head "$loops"
    for file in $(ordered "$1" compile); do
        awk -v gpu="$(basename "$file" .compile)" -v loops="$loops" -v variant="$2" "$report_functions"'
            function given(x) { return x == "-" ? "not given" : x }
            is_row() && $2 == variant {
                key = role()
                if (!counts(key)) next
                cell[key] = $13 == "-" ? "not given" : sprintf("%.0f %%", 100 * $13) " / " given($14)
            }
            END { print_cells(loops) }' "$file"
    done
}

runs_table() {
    local file name
    echo '| driver | `pumice check` | `pumice check --exact` |'
    echo '|---|---|---|'
    for file in $(ordered "$1" check); do
        name=$(basename "$file" .check)
        printf '| %s: %s | %s | %s |\n' "$name" "$(sed -n 's/^driver: \([^,]*\).*/\1/p' "$file" | head -n 1)" \
            "$(grep -E 'cases are right' "$file" || tail -n 1 "$file")" \
            "$(tail -n 1 "$1/$name.exactness")"
    done
}

write_document() {
    cat <<TEXT
# What every vendor's driver makes of Pumice

Made by \`tools/drivers.sh\` on $(LC_ALL=C date -u '+%-d %B %Y'), of $(git describe --always 2>/dev/null || echo 'a source tree').
No GPU was there. Two things can be had without one. Some drivers *run* on the CPU: every operator is held
against plain C there, and 50 training steps of tiny models and samples by every sampler must have the checksums of
\`tests/expected.txt\`. The compilers of
the others *compile*, with a stand-in for the GPU below the driver: every kernel that operators and shipped models
would use there, in the tiles that would be chosen, and the compiler says what became of it.
**What is not in the first table has not executed**; and nothing here is a measured time.

## Runs

$(runs_table "$1")

All cases of all operators in precisions exact and f32. "-gpu": without the kernels that are for CPU drivers alone, so
those of a GPU, and precision fast by the driver's matrix units. The seconds are of one thread, beside another run.

## Compiles

Pipelines of all operators' cases, the training step and the sampling steps of fashion-small, kjv-ar and kjv-masked;
in precision exact, of matmul, conv2d and attention in f32 too, and in fast where there are matrix units: of these the
column says the fragment, rows x columns x terms. Registers are the driver's own unit: AMD's VGPRs, NVIDIA's registers,
Intel's live registers, Adreno's registers of four, Apple's of 16 bits. "With spills" counts pipelines that put
registers, or arrays, into memory. Occupancy: subgroups that a SIMD or a multiprocessor holds at once (Apple:
invocations). "-host" is this machine's Mesa, "-new" that of unstable.

$(compiles_table "$1")

## The hot kernels

Registers / spills and bytes of private memory / the compiler's estimate. The estimate is AMD's inverse throughput,
Intel's and NVIDIA's count of cycles, and where there is none the number of instructions. It compares versions of one
kernel on one GPU; GPUs with each other it does not. Dispatches of few lanes have the smallest subgroups there are
(devices.md), which end sooner, but of which AMD's inverse throughput is higher.

### Precision exact

$(hot_table "$1" exact "$hot")

### Precision f32

$(hot_table "$1" f32 "$hot")

### Precision fast, by matrix units

Where they are offered; elsewhere precision fast is f32.

$(hot_table "$1" fast "$loops;attention;attention_dq;attention_dkv")

In bf16 (\`--off matrix-f16\`), where that is offered, too.

$(hot_table "$1" fast-bf16 "$loops;attention;attention_dq;attention_dkv")

## The inner loops

Of the loop in which a kernel does its multiply-adds, as the driver shows it in assembly: how many of its instructions
multiply or add (all that a matrix unit does counts, too; two operations in one instruction count once), and how many cycles a subgroup takes for a multiply-add of
each of its lanes, as the compiler estimates. A loop without overhead would have 100 %. In precision exact a multiply-add is two
instructions. Cycles are NVIDIA's delays between the instructions of one round, without waits for memory; at AMD and
Intel, whose compilers estimate whole kernels, that estimate divided by the multiply-adds, of which
AMD's compiler takes 8 rounds of a loop for granted, four times as many in a loop in that and twice as many in
any further in, and Intel's 10 of each: so what stands around the loop is in it.

### Precision exact

$(loop_table "$1" exact)

### Precision f32

$(loop_table "$1" f32)

### Precision fast, by matrix units

An instruction of theirs counts as one, whatever it multiplies: the rest fetches fragments, and turns f32 into f16.

$(loop_table "$1" fast)

\`tests/drivers_baseline.tsv\` keeps these numbers for every kernel: \`tools/drivers.sh\` fails when one spills that
did not, or when an estimate gets a tenth worse with the same driver.
TEXT
}
