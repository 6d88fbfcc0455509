#pragma once
#include "simd.h"

/** Columns that share one scale of activations, and at most one of weights. */
enum { BLOCK = 32 };
