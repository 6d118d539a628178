/* types: the types of values, in a file and in memory. */
#include "h5_internal.h"

/* HDF5's types are variables, so this cannot be a constant table. */
struct h5_types h5_types_of(enum h5_type type)
{
    switch (type) {
    case H5_U8:
        return (struct h5_types){H5T_STD_U8LE, H5T_NATIVE_UINT8};
    case H5_U16:
        return (struct h5_types){H5T_STD_U16LE, H5T_NATIVE_UINT16};
    case H5_U32:
        return (struct h5_types){H5T_STD_U32LE, H5T_NATIVE_UINT32};
    case H5_U64:
        return (struct h5_types){H5T_STD_U64LE, H5T_NATIVE_UINT64};
    case H5_I32:
        return (struct h5_types){H5T_STD_I32LE, H5T_NATIVE_INT32};
    case H5_I64:
        return (struct h5_types){H5T_STD_I64LE, H5T_NATIVE_INT64};
    case H5_F32:
        return (struct h5_types){H5T_IEEE_F32LE, H5T_NATIVE_FLOAT};
    case H5_F64:
        break;
    }
    return (struct h5_types){H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE};
}

size_t h5_type_size(enum h5_type type)
{
    static const uint8_t sizes[] = {
        [H5_U8] = 1,  [H5_U16] = 2, [H5_U32] = 4, [H5_U64] = 8,
        [H5_I32] = 4, [H5_I64] = 8, [H5_F32] = 4, [H5_F64] = 8};
    return sizes[type];
}
