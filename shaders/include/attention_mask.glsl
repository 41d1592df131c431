// Which keys a query of attention sees: pm_mask, of p.queries queries and p.keys keys.
#ifndef PUMICE_ATTENTION_MASK_GLSL
#define PUMICE_ATTENTION_MASK_GLSL

#include "exact.glsl"

const uint MASK_NONE = 0, MASK_CAUSAL = 1;

// How many keys a query sees; they are the first ones.
uint keys_seen(uint query)
{
    uint seen = p.keys;
    if (MASK != MASK_NONE) {
        seen = origin + query + 1;
        if (MASK != MASK_CAUSAL) seen = (seen + p.block - 1) / p.block * p.block;
        seen = min(seen, p.keys);
    }
    return PM_SELECT(query < p.queries, seen, 0);
}

// The first query that sees a key.
uint first_query(uint key)
{
    if (MASK == MASK_NONE) return 0;
    uint position = MASK == MASK_CAUSAL ? key : key / p.block * p.block;
    return max(position, origin) - origin;
}

#endif
