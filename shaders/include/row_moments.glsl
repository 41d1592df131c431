// Mean and 1 / sqrt(variance + eps) of a row, in two sweeps: the second sums squares around the mean that the
// first one found, or around 0 (RMS). Uses x of norm.glsl or norm_row_moments.glsl.
vec2 row_moments(bool rms, uint start, uint channels, float inverse_count, float eps)
{
    vec4 sum = vec4(0.0), squares = vec4(0.0);
    for (uint quad = 0; !rms && 4 * quad < channels; quad++) sum = sum + x(start, quad, channels);
    float center = row_total(sum) * inverse_count;
    for (uint quad = 0; 4 * quad < channels; quad++) {
        vec4 d = x(start, quad, channels) - center;
        d = row_pad(d, quad, channels, 0.0);
        squares = PM_MAD(d, d, squares);
    }
    return vec2(center, pm_rsqrt(PM_MAD(row_total(squares), inverse_count, eps)));
}
