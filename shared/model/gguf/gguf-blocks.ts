/** Block-quantized types of GGUF that the engine has products for. */
export type GgufType = 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q4_K' | 'Q5_K' | 'Q6_K';

/** Bytes and columns of a block of each type. A tensor's rows are whole blocks, one after the other. */
export const GGUF_BLOCKS: Readonly<Record<GgufType, { readonly bytes: number; readonly columns: number }>> = {
  Q4_0: { bytes: 18, columns: 32 },
  Q4_1: { bytes: 20, columns: 32 },
  Q5_0: { bytes: 22, columns: 32 },
  Q5_1: { bytes: 24, columns: 32 },
  Q8_0: { bytes: 34, columns: 32 },
  Q4_K: { bytes: 144, columns: 256 },
  Q5_K: { bytes: 176, columns: 256 },
  Q6_K: { bytes: 210, columns: 256 },
};

export function isGgufType(name: string): name is GgufType {
  return Object.hasOwn(GGUF_BLOCKS, name);
}
