import { ChorusError } from '#shared/errors.ts';
import type { GgufTokenizer } from './gguf-metadata.ts';
import { preTokenizerNamed } from './pre-tokenizers.ts';

/** llama.cpp's numbers of the kinds of tokens. */
const Kind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
const SPACE = '\u2581';
/** Control tokens that end an answer wherever they are, whatever the metadata calls the last one. */
const ENDINGS = new Set([
  ...['<|im_end|>', '<|eot_id|>', '<|eom_id|>', '<|end_of_text|>', '<|endoftext|>', '<|end|>', '<end_of_turn>', '</s>'],
]);

/** A tokenizer as transformers keeps it, made of a GGUF file's metadata. */
export interface TokenizerFiles {
  readonly tokenizer: Uint8Array<ArrayBuffer>;
  readonly config: Uint8Array<ArrayBuffer>;
  readonly endTokens: readonly number[];
}

/** Throws `unsupported-model` for a tokenizer of another kind, `bad-model` for one that contradicts itself. */
export function tokenizerFiles(said: GgufTokenizer): TokenizerFiles {
  const tokens = said['tokenizer.ggml.tokens'];
  const kinds = said['tokenizer.ggml.token_type'] ?? tokens.map(() => Kind.normal);
  if (kinds.length !== tokens.length) fault(`${kinds.length} kinds for ${tokens.length} tokens`);
  if (new Set(tokens).size !== tokens.length) fault('a token is there twice');
  const nameOf = (id: number | undefined): string | null => {
    if (id === undefined) return null;
    return tokens[id] ?? fault(`a token of number ${id} where there are ${tokens.length}`);
  };
  const [begin, end] = [nameOf(said['tokenizer.ggml.bos_token_id']), nameOf(said['tokenizer.ggml.eos_token_id'])];
  const isPieces = said['tokenizer.ggml.model'] === 'llama';
  const adds = {
    begin: begin !== null && (said['tokenizer.ggml.add_bos_token'] ?? isPieces),
    end: end !== null && (said['tokenizer.ggml.add_eos_token'] ?? false),
  };
  const file = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(tokens, kinds),
    ...(isPieces ? pieces(said, kinds) : byteLevel(said)),
    post_processor: template(
      adds.begin ? [begin!, tokens.indexOf(begin!)] : null,
      adds.end ? [end!, tokens.indexOf(end!)] : null,
    ),
  };
  const config = {
    ...{ tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false },
    ...(begin !== null && { bos_token: begin }),
    ...(end !== null && { eos_token: end }),
    ...{
      unk_token: nameOf(said['tokenizer.ggml.unknown_token_id']),
      pad_token: nameOf(said['tokenizer.ggml.padding_token_id']),
    },
    ...(said['tokenizer.chat_template'] !== undefined && { chat_template: said['tokenizer.chat_template'] }),
  };
  return { tokenizer: jsonBytes(file), config: jsonBytes(config), endTokens: endTokens(said, tokens, kinds) };
}

function byteLevel(said: GgufTokenizer) {
  if (said['tokenizer.ggml.model'] !== 'gpt2') {
    const model = said['tokenizer.ggml.model'].slice(0, 60);
    throw new ChorusError(
      'unsupported-model',
      `the GGUF file's tokenizer is “${model}”; gpt2 (byte-level BPE) and llama (SentencePiece) are read`,
    );
  }
  const { normalizer, preTokenizer, ignoreMerges } = preTokenizerNamed(said['tokenizer.ggml.pre']);
  return {
    normalizer,
    pre_tokenizer: preTokenizer,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...{
        type: 'BPE',
        dropout: null,
        unk_token: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: ignoreMerges,
      },
      vocab: vocabulary(said['tokenizer.ggml.tokens']),
      merges: said['tokenizer.ggml.merges'] ?? fault('it has no merges'),
    },
  };
}

/** A SentencePiece model of pairs, with bytes for characters that it has no piece for. */
function pieces(said: GgufTokenizer, kinds: readonly number[]) {
  const tokens = said['tokenizer.ggml.tokens'];
  const scores = said['tokenizer.ggml.scores'] ?? fault('it has no scores');
  if (scores.length !== tokens.length) fault(`${scores.length} scores for ${tokens.length} tokens`);
  if (said['tokenizer.ggml.remove_extra_whitespaces'] === true)
    throw new ChorusError('unsupported-model', 'the GGUF file’s tokenizer takes spaces away, which is not known here');
  const prefix = said['tokenizer.ggml.add_space_prefix'] ?? true;
  const unknown = kinds.indexOf(Kind.unknown);
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  return {
    normalizer: { type: 'Sequence', normalizers: [...(prefix ? [{ type: 'Prepend', prepend: SPACE }] : []), replace] },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      ...{ type: 'BPE', dropout: null, fuse_unk: true, byte_fallback: true, ignore_merges: false },
      unk_token: unknown === -1 ? null : tokens[unknown],
      vocab: vocabulary(tokens),
      merges: mergesOf(tokens, kinds, scores),
    },
  };
}

/** The pairs that make each piece, the likeliest first: what SentencePiece would join, told as merges. */
function mergesOf(tokens: readonly string[], kinds: readonly number[], scores: readonly number[]): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const isJoined = (id: number) => kinds[id] === Kind.normal || kinds[id] === Kind.userDefined;
  const merges: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (!isJoined(id)) continue;
    const characters = [...token];
    // Longer pieces than these are runs of one character, and no file has many.
    if (characters.length > 256) fault(`the token ${id} is longer than 256 characters`);
    for (let at = 1, left = ''; at < characters.length; at++) {
      left += characters[at - 1]!;
      const [first, second] = [ids.get(left), ids.get(token.slice(left.length))];
      if (first !== undefined && second !== undefined)
        merges.push({ pair: [left, token.slice(left.length)], score: scores[id]!, left: first, right: second });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  return merges.map(({ pair }) => pair);
}

function vocabulary(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function addedTokens(tokens: readonly string[], kinds: readonly number[]) {
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return tokens.flatMap((content, id) => {
    const kind = kinds[id];
    const isSpecial = kind === Kind.control || kind === Kind.unknown;
    return isSpecial || kind === Kind.userDefined ? [{ id, content, ...plain, special: isSpecial }] : [];
  });
}

/** What stands before and after a text that no template wrote. */
function template(begin: readonly [string, number] | null, end: readonly [string, number] | null) {
  if (begin === null && end === null) return null;
  const special = ([id]: readonly [string, number]) => ({ SpecialToken: { id, type_id: 0 } });
  const single = [
    ...(begin === null ? [] : [special(begin)]),
    { Sequence: { id: 'A', type_id: 0 } },
    ...(end === null ? [] : [special(end)]),
  ];
  const named = [begin, end].filter((token) => token !== null);
  const ids = named.map(([name, id]) => [name, { id: name, ids: [id], tokens: [name] }] as const);
  return { type: 'TemplateProcessing', single, pair: [], special_tokens: Object.fromEntries(ids) };
}

function endTokens(said: GgufTokenizer, tokens: readonly string[], kinds: readonly number[]): number[] {
  const ends = (['eos', 'eot', 'eom'] as const).map((name) => said[`tokenizer.ggml.${name}_token_id`]);
  const named = tokens.flatMap((token, id) => (kinds[id] === Kind.control && ENDINGS.has(token) ? [id] : []));
  return [...new Set([...ends.filter((id) => id !== undefined), ...named])].slice(0, 32);
}

function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}

function fault(reason: string): never {
  throw new ChorusError('bad-model', `the GGUF file's tokenizer: ${reason}`);
}
