import type { DecoderShape } from '../../signal-server/import/builder/decoder-shape.ts';

/** A weight by the name that transformers gives it; null where the model has none. */
export type WeightNamed = (name: string) => Float32Array | null;

/**
 * The logits of each token's position, in double precision and straight from the definition of such a model: rows are halves of a
 * head's angles, as transformers has them.
 */
export function decoderLogits(
  shape: DecoderShape,
  weight: WeightNamed,
  tokens: readonly number[],
): Float64Array<ArrayBuffer>[] {
  const { layers, hiddenSize, heads, kvHeads, headSize, feedForward, vocabularySize, epsilon, ropeBase, ropeFactors } =
    shape;
  const demand = (name: string): Float32Array => {
    const found = weight(name);
    if (found === null) throw new Error(`no ${name}`);
    return found;
  };
  const norm = (row: Float64Array<ArrayBuffer>, scale: Float32Array, size = row.length): Float64Array<ArrayBuffer> =>
    row.map((value, i) => {
      const part = row.subarray(i - (i % size), i - (i % size) + size);
      const square = part.reduce((sum, each) => sum + each * each, 0) / size;
      return (value / Math.sqrt(square + epsilon)) * scale[i % size]!;
    });
  const product = (row: Float64Array<ArrayBuffer>, name: string, outputs: number): Float64Array<ArrayBuffer> => {
    const [matrix, bias] = [demand(`${name}.weight`), weight(`${name}.bias`)];
    return Float64Array.from({ length: outputs }, (_, out) => {
      let sum = bias?.[out] ?? 0;
      for (let i = 0; i < row.length; i++) sum += row[i]! * matrix[out * row.length + i]!;
      return sum;
    });
  };
  const turn = (row: Float64Array<ArrayBuffer>, position: number): Float64Array<ArrayBuffer> =>
    row.map((value, i) => {
      const [within, half] = [i % headSize, headSize / 2];
      const pair = within % half;
      const angle = (position * ropeBase ** ((-2 * pair) / headSize)) / (ropeFactors?.[pair] ?? 1);
      const other = within < half ? -row[i + half]! : row[i - half]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  const add = (a: Float64Array<ArrayBuffer>, b: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> =>
    a.map((value, i) => value + b[i]!);

  const table = demand('model.embed_tokens.weight');
  let rows = tokens.map((token) => Float64Array.from(table.subarray(token * hiddenSize, (token + 1) * hiddenSize)));
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `model.layers.${layer}.${part}`;
    const projected = rows.map((row, position) => {
      const normed = norm(row, demand(name('input_layernorm.weight')));
      const [query, key, value] = (['q', 'k', 'v'] as const).map((part) =>
        product(normed, name(`self_attn.${part}_proj`), (part === 'q' ? heads : kvHeads) * headSize),
      ) as [Float64Array<ArrayBuffer>, Float64Array<ArrayBuffer>, Float64Array<ArrayBuffer>];
      const [queryNorm, keyNorm] = [weight(name('self_attn.q_norm.weight')), weight(name('self_attn.k_norm.weight'))];
      return {
        query: turn(queryNorm === null ? query : norm(query, queryNorm, headSize), position),
        key: turn(keyNorm === null ? key : norm(key, keyNorm, headSize), position),
        value,
      };
    });
    rows = rows.map((row, position) => {
      const mixed = new Float64Array(heads * headSize);
      for (let head = 0; head < heads; head++) {
        const at = Math.floor(head / (heads / kvHeads)) * headSize;
        const own = projected[position]!.query.subarray(head * headSize, (head + 1) * headSize);
        const scores = projected
          .slice(0, position + 1)
          .map(({ key }) =>
            Math.exp(own.reduce((sum, value, i) => sum + value * key[at + i]!, 0) / Math.sqrt(headSize)),
          );
        const total = scores.reduce((sum, score) => sum + score, 0);
        for (const [seen, score] of scores.entries()) {
          for (let i = 0; i < headSize; i++)
            mixed[head * headSize + i]! += (score / total) * projected[seen]!.value[at + i]!;
        }
      }
      const middle = add(row, product(mixed, name('self_attn.o_proj'), hiddenSize));
      const normed = norm(middle, demand(name('post_attention_layernorm.weight')));
      const [gate, up] = [
        product(normed, name('mlp.gate_proj'), feedForward),
        product(normed, name('mlp.up_proj'), feedForward),
      ];
      return add(
        middle,
        product(
          gate.map((value, i) => (value / (1 + Math.exp(-value))) * up[i]!),
          name('mlp.down_proj'),
          hiddenSize,
        ),
      );
    });
  }
  const head = weight('lm_head.weight') === null ? 'model.embed_tokens' : 'lm_head';
  return rows.map((row) => product(norm(row, demand('model.norm.weight')), head, vocabularySize));
}
