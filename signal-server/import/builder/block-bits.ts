import { decodeF16 } from '#shared/model/f16.ts';
import { GGUF_BLOCKS } from '#shared/model/gguf-weight.ts';
import type { PackedBits } from './decoder-shape.ts';

/** Room for `blocks` blocks of Q4_0 or Q8_0 as MatMulNBits has them. */
export function emptyBits(bits: 4 | 8, blocks: number): PackedBits {
  return { quants: new Uint8Array(blocks * 4 * bits), scales: new Float32Array(blocks) };
}

/**
 * Puts blocks of Q4_0 or Q8_0, from block `first` on, as MatMulNBits has them: neighbours share a byte, 8 bits are above 128, and
 * scales are f32, each exact.
 */
export function regroupBlocks(bits: 4 | 8, bytes: Uint8Array, { quants, scales }: PackedBits, first = 0): void {
  const block = GGUF_BLOCKS[bits === 4 ? 'Q4_0' : 'Q8_0'];
  const blocks = bytes.length / block.bytes;
  const packed = block.bytes - 2;
  const halves = new Uint8Array(2 * blocks);
  for (let i = 0; i < blocks; i++) {
    const [from, to] = [i * block.bytes, (first + i) * packed];
    halves[2 * i] = bytes[from]!;
    halves[2 * i + 1] = bytes[from + 1]!;
    if (bits === 8) {
      for (let j = 0; j < packed; j++) quants[to + j] = bytes[from + 2 + j]! ^ 128;
      continue;
    }
    for (let j = 0; j < packed; j++) {
      const pair = 2 * (j & 7);
      const shift = j < 8 ? 0 : 4;
      const at = from + 2 + pair;
      quants[to + j] = ((bytes[at]! >> shift) & 15) | (((bytes[at + 1]! >> shift) & 15) << 4);
    }
  }
  scales.set(decodeF16(halves), first);
}
