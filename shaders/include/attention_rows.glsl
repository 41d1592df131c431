// Which rows of attention's tensors are those of a head: of q [sample, query, head] and its like, of k and its
// like, which have a head for each GROUP of those, and of weights [sample, head, query, key]. Past the end of q and
// k they are the last one: what is computed for them is not used. An includer has sample_index and head, of queries.
#ifndef PUMICE_ATTENTION_ROWS_GLSL
#define PUMICE_ATTENTION_ROWS_GLSL

uint query_row(uint query)
{
    return (sample_index * p.queries + min(query, p.queries - 1)) * p.heads + head;
}

uint key_row(uint key, uint keys_there)
{
    return (sample_index * p.keys + min(key, keys_there - 1)) * (p.heads / GROUP) + head / GROUP;
}

// In a tensor with one number a query, [sample, head, query], which is bound whole.
uint query_at(uint query)
{
    return ((p.base + sample_index) * p.heads + head) * p.queries + min(query, p.queries - 1);
}

// A head has weights for whole blocks of 32 queries.
uint weight_rows() { return (p.queries + 31) / 32 * 32; }
uint weight_row(uint of_sample, uint query) { return (of_sample * p.heads + head) * weight_rows() + query; }

#endif
