import { DynamicCache, Tensor } from '@xenova/transformers';
import { loadTransformersModel } from '../../page/transformers.ts';
import type { Contender, Material } from '../contender.ts';

/** What `generate` gives where it is asked for more than tokens. */
interface Generated {
  readonly sequences: Tensor;
  readonly past_key_values: DynamicCache;
}

/** transformers.js on the q4 file as it is published. */
export async function createTransformers({ folder }: Material): Promise<Contender> {
  const model = await loadTransformersModel(folder, 'processor');

  async function generate(inputs: Tensor, count: number, past: DynamicCache | null): Promise<Generated> {
    const length = inputs.dims[1]!;
    const generated: unknown = await model.generate({
      ...{ inputs, max_new_tokens: count, do_sample: false, return_dict_in_generate: true },
      attention_mask: new Tensor('int64', new BigInt64Array(length).fill(1n), [1, length]),
      // Takes the criterion away; the published type forgets that.
      eos_token_id: null as unknown as number,
      ...(past !== null && { past_key_values: past }),
    });
    return generated as Generated;
  }

  let last: Generated | null = null;
  return {
    async read({ tokens }) {
      last = null;
      const inputs = new Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]);
      const startedMs = performance.now();
      last = await generate(inputs, 1, null);
      return { ms: performance.now() - startedMs, token: Number((last.sequences.data as BigInt64Array).at(-1)) };
    },
    async goOn(count) {
      if (last === null) throw new Error('nothing was read');
      // A cache takes new tensors in place of those it was made of, which stay as they are.
      const past = new DynamicCache({ ...last.past_key_values });
      const startedMs = performance.now();
      await generate(last.sequences, count, past);
      return performance.now() - startedMs;
    },
  };
}
