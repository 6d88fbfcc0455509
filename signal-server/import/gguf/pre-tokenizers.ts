import { ChorusError } from '#shared/errors.ts';

const byteLevel = (useRegex: boolean) => ({
  ...{ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex },
});
const split = (regex: string) => ({
  type: 'Sequence',
  pretokenizers: [{ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }, byteLevel(false)],
});
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const numbered = (digits: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

export interface PreTokenizer {
  readonly normalizer: unknown;
  readonly preTokenizer: unknown;
  /** Words that are tokens as a whole are taken whole, whatever the merges say. */
  readonly ignoreMerges: boolean;
}

const gpt2: PreTokenizer = { normalizer: null, preTokenizer: byteLevel(true), ignoreMerges: false };
const llama3: PreTokenizer = { normalizer: null, preTokenizer: split(numbered('{1,3}')), ignoreMerges: true };
const qwen2: PreTokenizer = { normalizer: { type: 'NFC' }, preTokenizer: split(numbered('')), ignoreMerges: false };
const digits: PreTokenizer = {
  normalizer: null,
  preTokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)] },
  ignoreMerges: false,
};

/** By the names that llama.cpp's converter gives to the tokenizers of models it knows. */
const known = new Map<string, PreTokenizer>([
  ['gpt-2', gpt2],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['smollm', digits],
  ['starcoder', digits],
]);

/** How a byte-level tokenizer cuts words. Throws `unsupported-model` for a name that is not known, or none. */
export function preTokenizerNamed(name: string | undefined): PreTokenizer {
  const found = known.get(name ?? '');
  if (found !== undefined) return found;
  throw new ChorusError(
    'unsupported-model',
    `the GGUF file's tokenizer cuts words as ${name === undefined ? 'it does not say' : `“${name.slice(0, 60)}” does`}; ` +
      `${[...known.keys()].join(', ')} are known. Import the model from its repository's tokenizer.json instead.`,
  );
}
