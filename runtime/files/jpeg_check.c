/* Looks through a JPEG file before stb_image decodes it; see jpeg_check.h.
 *
 * Releases of stb_image up to 2.27, which distributions still ship, write beyond their tables when a Huffman
 * table announces more than 256 symbols, and read anywhere when a scan names a table that the file never
 * defined. This walk over the file's segments (ITU-T T.81, annex B) refuses both. It is no looser than the
 * decoder about where a segment begins, so that what it checked is what the decoder sees. */
#include "files/jpeg_check.h"

#include "files/file_error.h"

enum {
    MARKER_SOF0 = 0xc0, /* baseline */
    MARKER_SOF2 = 0xc2, /* progressive */
    MARKER_DHT = 0xc4,  /* Huffman tables */
    MARKER_RST0 = 0xd0,
    MARKER_RST7 = 0xd7,
    MARKER_SOI = 0xd8,
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda, /* a scan */
    MARKER_DQT = 0xdb, /* quantization tables */
    MARKER_DNL = 0xdc,
    MARKER_DRI = 0xdd,
    MARKER_APP0 = 0xe0,
    MARKER_APP15 = 0xef,
    MARKER_COM = 0xfe
};

typedef struct walk {
    const uint8_t *bytes;
    size_t size, at;
    uint32_t huffman[2]; /* bit i: DC (0) or AC (1) table i is defined */
    uint32_t quantization;
    uint32_t width, height;
    uint32_t components, component_id[4], component_table[4]; /* of the frame; 0 components: none yet */
    bool progressive;
    const char *where;
    pm_error *error;
} walk;

#define BAD_JPEG(walk, ...) pm_fail_at((walk)->error, PM_BAD_FILE, (walk)->where, "the JPEG " __VA_ARGS__)

/* Each of these gets a segment's content, after its length. */

static pm_status check_huffman(walk *in, const uint8_t *at, size_t left)
{
    while (left > 0) {
        if (left < 17 || at[0] >> 4 > 1 || (at[0] & 15) > 3)
            return BAD_JPEG(in, "has a malformed Huffman table");
        size_t symbols = 0;
        uint32_t codes_left = 1; /* unused codes of the length at hand */
        for (int length = 1; length <= 16; length++) {
            codes_left *= 2;
            if (at[length] > codes_left) return BAD_JPEG(in, "has a Huffman table with too many codes");
            codes_left -= at[length];
            symbols += at[length];
        }
        if (symbols > 256 || symbols > left - 17)
            return BAD_JPEG(in, "has a Huffman table with too many symbols");
        in->huffman[at[0] >> 4] |= 1u << (at[0] & 15);
        at += 17 + symbols;
        left -= 17 + symbols;
    }
    return PM_OK;
}

static pm_status check_quantization(walk *in, const uint8_t *at, size_t left)
{
    while (left > 0) {
        size_t size = at[0] >> 4 ? 129 : 65;
        if (at[0] >> 4 > 1 || (at[0] & 15) > 3 || left < size) {
            return BAD_JPEG(in, "has a malformed quantization table");
        }
        in->quantization |= 1u << (at[0] & 15);
        at += size;
        left -= size;
    }
    return PM_OK;
}

static pm_status check_frame(walk *in, const uint8_t *at, size_t left, bool progressive)
{
    if (in->components > 0 || left < 6 || at[5] < 1 || at[5] > 4 || left != 6 + 3 * (size_t)at[5]) {
        return BAD_JPEG(in, "has a malformed frame header");
    }
    in->progressive = progressive;
    in->height = (uint32_t)at[1] << 8 | at[2];
    in->width = (uint32_t)at[3] << 8 | at[4];
    in->components = at[5];
    for (uint32_t i = 0; i < in->components; i++) {
        in->component_id[i] = at[6 + 3 * i];
        in->component_table[i] = at[8 + 3 * i];
        if (in->component_table[i] > 3) return BAD_JPEG(in, "has a malformed frame header");
    }
    return PM_OK;
}

/* Whether the tables that the scan's component uses are defined. `selectors`: DC table in the high half, AC
 * in the low. */
static bool has_tables(const walk *in, uint32_t id, uint32_t selectors, uint32_t first_coefficient,
                       uint32_t refinement)
{
    bool dc = (selectors >> 4) < 4 && in->huffman[0] >> (selectors >> 4) & 1;
    bool ac = (selectors & 15) < 4 && in->huffman[1] >> (selectors & 15) & 1;
    if (in->progressive) {
        dc = dc || first_coefficient > 0 || refinement > 0;
        ac = ac || first_coefficient == 0;
    }
    for (uint32_t i = 0; i < in->components; i++) {
        if (in->component_id[i] == id) return dc && ac && in->quantization >> in->component_table[i] & 1;
    }
    return false;
}

static pm_status check_scan(walk *in, const uint8_t *at, size_t left)
{
    if (left < 1 || at[0] < 1 || at[0] > in->components || left != 4 + 2 * (size_t)at[0]) {
        return BAD_JPEG(in, "has a malformed scan header");
    }
    const uint8_t *spectral = at + 1 + 2 * (size_t)at[0];
    for (uint32_t i = 0; i < at[0]; i++) {
        if (!has_tables(in, at[1 + 2 * i], at[2 + 2 * i], spectral[0], spectral[2] >> 4)) {
            return BAD_JPEG(in, "has a scan that uses a table or component which is not defined");
        }
    }
    return PM_OK;
}

/* Moves to the next marker that is no restart: within coded data 0xff is followed by 0 or by a marker. */
static void skip_coded_data(walk *in)
{
    for (; in->size - in->at >= 2; in->at++) {
        uint8_t next = in->bytes[in->at + 1];
        bool is_marker = next != 0 && next != 0xff && !(next >= MARKER_RST0 && next <= MARKER_RST7);
        if (in->bytes[in->at] == 0xff && is_marker) return;
    }
}

static pm_status check_segment(walk *in, uint8_t marker, const uint8_t *content, size_t left)
{
    if ((marker >= MARKER_APP0 && marker <= MARKER_APP15) || marker == MARKER_COM) return PM_OK;
    switch (marker) {
    case MARKER_SOF0:
    case MARKER_SOF0 + 1:
    case MARKER_SOF2:
        return check_frame(in, content, left, marker == MARKER_SOF2);
    case MARKER_DHT:
        return check_huffman(in, content, left);
    case MARKER_DQT:
        return check_quantization(in, content, left);
    case MARKER_SOS:
        return check_scan(in, content, left);
    case MARKER_DRI:
    case MARKER_DNL:
        return left == 2 ? PM_OK : BAD_JPEG(in, "has a malformed segment");
    default:
        return BAD_JPEG(in, "is of a kind that is not supported (segment %02x)", marker);
    }
}

bool pm_jpeg_is(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == MARKER_SOI && bytes[2] == 0xff;
}

pm_status pm_jpeg_check(const uint8_t *bytes, size_t size, const char *where, uint32_t *width,
                        uint32_t *height, pm_error *error)
{
    *width = *height = 0;
    walk in = {.bytes = bytes, .size = size, .at = 2, .where = where, .error = error};
    for (;;) {
        if (size - in.at < 2) return BAD_JPEG(&in, "is cut off; was it downloaded completely?");
        if (bytes[in.at] != 0xff) return BAD_JPEG(&in, "has garbage at byte %zu", in.at);
        uint8_t marker = bytes[in.at + 1];
        if (marker == MARKER_EOI) break;
        if (marker == 0xff) { /* a fill byte */
            in.at++;
            continue;
        }
        size_t length = size - in.at >= 4 ? (size_t)bytes[in.at + 2] << 8 | bytes[in.at + 3] : 0;
        if (length < 2 || length > size - in.at - 2) {
            return BAD_JPEG(&in, "has a segment at byte %zu that ends outside the file", in.at);
        }
        pm_status status = check_segment(&in, marker, bytes + in.at + 4, length - 2);
        if (status != PM_OK) return status;
        in.at += 2 + length;
        if (marker == MARKER_SOS) skip_coded_data(&in);
    }
    *width = in.width;
    *height = in.height;
    return PM_OK;
}
