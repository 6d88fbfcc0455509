import { logitsRowBytes, readCandidates, type Candidates } from '#shared/rows/logits-row.ts';

/** Logits rows as they go over a link, whatever is in them. */
export function encodeCandidateRow({ logSumExp, tokens, logits }: Candidates): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(logitsRowBytes(tokens.length));
  const view = new DataView(bytes.buffer);
  view.setFloat32(0, logSumExp, true);
  tokens.forEach((token, i) => {
    view.setUint32(4 + 8 * i, token, true);
    view.setFloat32(8 + 8 * i, logits[i]!, true);
  });
  return bytes;
}

export function decodeCandidateRow(row: Uint8Array<ArrayBuffer>, vocabularySize: number): Candidates {
  return readCandidates(row, vocabularySize, (row.length - 4) / 8);
}
