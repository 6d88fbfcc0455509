import { fileURLToPath } from 'node:url';
import { AutoModelForCausalLM, AutoTokenizer, env, Tensor } from '@xenova/transformers';

/** transformers.js on the uncut model: an independent judge of tokens, text and chat template. */
export interface Oracle {
  /** `count` greedy tokens after `prompt`, past any end token. */
  greedy(prompt: readonly number[], count: number): Promise<number[]>;
  /** The greedy answer in a conversation, up to its end token, as text. */
  answer(messages: readonly ChatTurn[], maxNewTokens: number): Promise<string>;
  encode(text: string): number[];
  decode(tokens: readonly number[]): string;
  /** Tokens of the chat template over `messages`, with the opening of the answer. */
  chat(messages: readonly ChatTurn[]): number[];
  dispose(): Promise<void>;
}

export interface ChatTurn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** The part of the oracle that needs no weights. */
export type TextOracle = Pick<Oracle, 'encode' | 'decode' | 'chat'>;

/** Reads the tokenizer of `models/<name>` of this repository, never the network. */
export async function loadTextOracle(name: string): Promise<TextOracle> {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = fileURLToPath(new URL('../../models/', import.meta.url));
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  return {
    encode: (text) => tokenizer.encode(text, { add_special_tokens: false }),
    decode: (tokens) => tokenizer.decode([...tokens], { skip_special_tokens: false }),
    chat: (messages) =>
      tokenizer.apply_chat_template<true, false, false>([...messages], {
        add_generation_prompt: true,
        tokenize: true,
        return_tensor: false,
        return_dict: false,
      }),
  };
}

/** Reads `models/<name>` of this repository, never the network. */
export async function loadOracle(name: string, dtype: 'q4' | 'q8' | 'fp32'): Promise<Oracle> {
  const text = await loadTextOracle(name);
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const model = await AutoModelForCausalLM.from_pretrained(name, { dtype, device: 'cpu' });
  const endTokens = [model.generation_config?.eos_token_id ?? []].flat();
  async function greedy(prompt: readonly number[], count: number): Promise<number[]> {
    const ids = new Tensor('int64', BigInt64Array.from(prompt, BigInt), [1, prompt.length]);
    const mask = new Tensor('int64', new BigInt64Array(prompt.length).fill(1n), [1, prompt.length]);
    const output = (await model.generate({
      inputs: ids,
      attention_mask: mask,
      max_new_tokens: count,
      do_sample: false,
      // Takes the criterion away; the published type forgets that.
      eos_token_id: null as unknown as number,
    })) as Tensor;
    return Array.from(output.data as BigInt64Array, Number).slice(prompt.length);
  }
  return {
    greedy,
    async answer(messages, maxNewTokens) {
      const tokens = await greedy(text.chat(messages), maxNewTokens);
      const end = tokens.findIndex((token) => endTokens.includes(token));
      const answer = tokens.slice(0, end === -1 ? undefined : end);
      // The library takes no empty list.
      return answer.length === 0 ? '' : tokenizer.decode(answer, { skip_special_tokens: true });
    },
    ...text,
    dispose: async () => {
      await model.dispose();
    },
  };
}
