import { z } from 'zod';
import type { Markers } from './markers.ts';

const addedToken = z.looseObject({
  content: z.string(),
  special: z.boolean().optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
});
type Pieces = readonly (readonly [string, number])[];
type Vocabulary = Readonly<Record<string, number>> | Pieces;
type Merge = string | readonly [string, string];
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

/** tokenizer.json, as far as it is looked at here. */
export const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedToken),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  model: z.looseObject({
    // Long, and read by the library: a copy would take a while, and leave out a token that is called __proto__.
    vocab: z.custom<Vocabulary>(isObject),
    merges: z.custom<readonly Merge[]>(Array.isArray).optional(),
    unk_token: z.string().nullish(),
  }),
});
export type TokenizerFile = z.infer<typeof tokenizerSchema>;

/** The tokens of the vocabulary, as they are written there. */
export function vocabularyOf({ model: { vocab } }: TokenizerFile): string[] {
  return isPieces(vocab) ? vocab.map(([token]) => token) : Object.keys(vocab);
}

/** The texts of a model's markers: what its tokenizer calls special. Other added tokens are words like any other. */
export function markerTexts({ added_tokens }: TokenizerFile, alsoSpecial: readonly string[]): string[] {
  const also = new Set(alsoSpecial);
  return added_tokens
    .filter(({ special, content }) => special === true || also.has(content))
    .map(({ content }) => content);
}

/** The file of a tokenizer that knows markers by their names only, so that no text comes to one. */
export function withMarkerNames(file: TokenizerFile, markers: Markers): TokenizerFile {
  const named = (text: string): string => markers.nameOf(text);
  const { vocab, merges, unk_token: unknown } = file.model;
  const isMarker = (text: string): boolean => named(text) !== text;
  return {
    ...file,
    added_tokens: file.added_tokens.map((token) => ({ ...token, content: named(token.content) })),
    post_processor: renamed(file.post_processor, named),
    model: {
      ...file.model,
      vocab: isPieces(vocab)
        ? vocab.map(([token, score]) => [named(token), score] as const)
        : Object.fromEntries(Object.entries(vocab).map(([token, id]) => [named(token), id])),
      ...(merges && { merges: merges.filter((merge) => !isMarker(mergedBy(merge))) }),
      ...(typeof unknown === 'string' && { unk_token: named(unknown) }),
    },
  };
}

/** True of a Unigram model, whose tokens have scores and their places for ids. */
function isPieces(vocab: Vocabulary): vocab is Pieces {
  return Array.isArray(vocab);
}

function mergedBy(merge: Merge): string {
  return typeof merge === 'string' ? merge.replace(' ', '') : merge.join('');
}

/** A value of JSON with other strings in it. */
function renamed(value: unknown, named: (text: string) => string): unknown {
  if (typeof value === 'string') return named(value);
  if (Array.isArray(value)) return value.map((each) => renamed(each, named));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, renamed(each, named)]));
}
