// y [tokens, n] = x [tokens, k] times the transposed vector-quantized weights: bytes as in ovpass/kernels/packing.py.
//
// A work-group computes VQ_ROW_BLOCKS blocks of 64 rows, one after the other, for one token, or for up to VQ_TOKENS of
// them where there are many. Its items are 64 rows times VQ_SLICES slices of the columns. The codebooks lie in local
// memory, in floats, where they take no more than VQ_LOCAL_BYTES of it; else each entry is read from global memory.
// VQ_SUB_GROUP is the number of items that run in lockstep, 0: as the compiler likes.
//
// VQ_K, VQ_N, VQ_D, VQ_ENTRIES, VQ_BOOKS: attributes of the op. INPUT0_TYPE and the like: types, which the plugin defines.

#define ROWS 64
#define TABLES 32
#define ITEMS (ROWS * VQ_SLICES)
#define COUNT (VQ_K / VQ_D * VQ_BOOKS)
#define BLOCKS ((COUNT + TABLES - 1) / TABLES)
#define ROW_BLOCKS (VQ_N / ROWS)
#define VALUES (VQ_BOOKS * VQ_ENTRIES * VQ_D)

#define OVERLOADED __attribute__((overloadable))

float OVERLOADED value_at(const __global half* from, size_t i) { return vload_half(i, from); }
float OVERLOADED value_at(const __global float* from, size_t i) { return from[i]; }
void OVERLOADED put(__global half* to, size_t i, float value) { vstore_half(value, i, to); }
void OVERLOADED put(__global float* to, size_t i, float value) { to[i] = value; }

#if 4 * VALUES <= VQ_LOCAL_BYTES
#define ENTRY(i) entries[i]
#else
#define ENTRY(i) value_at(codebooks, i)
#endif

#if VQ_SUB_GROUP && defined(cl_intel_required_subgroup_size)
__attribute__((intel_reqd_sub_group_size(VQ_SUB_GROUP)))
#endif
__attribute__((reqd_work_group_size(ITEMS, 1, 1)))
__kernel void vector_matmul(const __global INPUT0_TYPE* x, const __global uchar* codes, __global OUTPUT0_TYPE* y) {
    const __global half* codebooks = (const __global half*)(codes + (size_t)COUNT * VQ_N);
    const __global half* scale = codebooks + VALUES;
    __local float sums[ITEMS];
    const uint item = get_local_id(0), row = item % ROWS, slice = item / ROWS;
    const uint group = get_group_id(0), first_row_block = group % ROW_BLOCKS, token = group / ROW_BLOCKS;
    const uint tokens = get_num_groups(0) / ROW_BLOCKS;
    const uint at_once = tokens >= 2 * VQ_TOKENS ? VQ_TOKENS : 1;
    // computed by the work-group of an earlier token, or of earlier rows
    if (token % at_once != 0 || first_row_block % VQ_ROW_BLOCKS != 0) return;

#if 4 * VALUES <= VQ_LOCAL_BYTES
    __local float entries[VALUES];
    for (uint i = item; i < VALUES; i += ITEMS) entries[i] = value_at(codebooks, i);
    barrier(CLK_LOCAL_MEM_FENCE);
#endif

    const uint mine = min(at_once, tokens - token);
    const uint last_row_block = min(first_row_block + VQ_ROW_BLOCKS, (uint)ROW_BLOCKS);
    for (uint row_block = first_row_block; row_block < last_row_block; row_block++) {
        float total[VQ_TOKENS];
        for (uint t = 0; t < VQ_TOKENS; t++) total[t] = 0.f;
        for (uint block = slice; block < BLOCKS; block += VQ_SLICES) {
            const uint first = block * TABLES, count = min((uint)TABLES, COUNT - first);
            const __global uchar* own = codes + ((size_t)first * ROW_BLOCKS + (size_t)row_block * count) * ROWS + row;
            for (uint i = 0; i < count; i++) {
                const uint table = first + i;
                const uint entry = (table % VQ_BOOKS * VQ_ENTRIES + own[i * ROWS]) * VQ_D;
                const size_t column = (size_t)token * VQ_K + table / VQ_BOOKS * VQ_D;
                for (uint t = 0; t < mine; t++)
                    for (uint j = 0; j < VQ_D; j++)
                        total[t] += value_at(x, column + (size_t)t * VQ_K + j) * ENTRY(entry + j);
            }
        }

        for (uint t = 0; t < mine; t++) {
            sums[item] = total[t];
            barrier(CLK_LOCAL_MEM_FENCE);
            if (slice == 0) {
                float sum = 0.f;
                for (uint s = 0; s < VQ_SLICES; s++) sum += sums[s * ROWS + row];
                const uint n = row_block * ROWS + row;
                put(y, (size_t)(token + t) * VQ_N + n, sum * value_at(scale, n));
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
}
