import { expect, test } from 'vitest';
import { fromBase64, toBase64 } from '#shared/bytes.ts';
import { GGUF_BLOCKS } from '#shared/model/gguf-weight.ts';
import { quantizeBlocks } from '../../../../signal-server/import/safetensors/quantize-blocks.ts';
import { ggufWeights } from '../../../support/gguf-oracle.ts';
import vectors from '../../../vectors/ggml-blocks.json' with { type: 'json' };

const values = new Float32Array(fromBase64(vectors.values).buffer);

test.each(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0'] as const)(
  '%s is rounded to as gguf-py rounds, and the loss is what the blocks say',
  (type) => {
    const blocks = new Uint8Array((values.length / 32) * GGUF_BLOCKS[type].bytes);
    const sums = { error: 0, power: 0 };
    quantizeBlocks(type, values, blocks, sums);
    expect(toBase64(blocks)).toBe(vectors[type]);
    const kept = ggufWeights(type, blocks);
    const error = values.reduce((sum, value, i) => sum + (value - kept[i]!) ** 2, 0);
    expect(sums.error / error).toBeCloseTo(1, 4);
    expect(sums.power).toBeCloseTo(
      values.reduce((sum, value) => sum + value * value, 0),
      6,
    );
  },
);
