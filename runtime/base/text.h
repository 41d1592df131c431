/* What may be shown on a terminal. */
#ifndef PM_BASE_TEXT_H
#define PM_BASE_TEXT_H

/* The bytes (0, 1 or 2) of the control character at `at`, in UTF-8: those below space, DEL, and U+0080 to
 * U+009F, with which a hostile file could write over a terminal. 0 at the end of a string. */
static inline unsigned pm_control_bytes(const char *at)
{
    unsigned char first = (unsigned char)at[0];
    if (first == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0) return 2;
    return first != 0 && (first < 0x20 || first == 0x7f);
}

/* Replaces each byte of a control character by '?'. */
static inline void pm_make_printable(char *text)
{
    for (; *text; text++) {
        for (unsigned bytes = pm_control_bytes(text); bytes > 0; bytes--) text[bytes - 1] = '?';
    }
}

#endif
