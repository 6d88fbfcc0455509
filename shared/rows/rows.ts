/**
 * Rows of one kind for consecutive positions [start, start + count). `bytes`, little-endian, row after row:
 * tokens: one u32 id each; hidden: `hiddenSize` values each in the manifest's boundary type (f16 or f32);
 * logits: the f32 log-sum-exp over the vocabulary, then TOP_K (or the vocabulary's size, if smaller) pairs of
 * u32 token id and f32 logit, by falling logit and then rising id.
 */
export interface Rows {
  readonly kind: 'tokens' | 'hidden' | 'logits';
  readonly start: number;
  readonly count: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** u32 little-endian, one for each token. */
export function encodeTokens(tokens: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * tokens.length);
  const view = new DataView(bytes.buffer);
  tokens.forEach((token, i) => view.setUint32(4 * i, token, true));
  return bytes;
}
