import { concatBytes, utf8 } from '../bytes.ts';
import { wellFormed } from './markers.ts';
import type { Prompt, PromptPiece } from './prompt.ts';

/**
 * A prompt as receipts hash it, so that characters which spell a marker are told from the marker: a byte that is 1 where a
 * chat template wrote it, then for each piece a byte (0 characters, 1 a marker), its length in UTF-8 as u32
 * little-endian, and its UTF-8. Characters side by side are one piece, and no piece is empty.
 */
export function promptBytes({ pieces, isRendered }: Prompt): Uint8Array<ArrayBuffer> {
  const parts = [Uint8Array.of(isRendered ? 1 : 0)];
  for (const { text, isMarker } of joined(pieces)) {
    const bytes = utf8(text);
    const header = new Uint8Array(5);
    new DataView(header.buffer).setUint32(1, bytes.length, true);
    header[0] = isMarker ? 1 : 0;
    parts.push(header, bytes);
  }
  return concatBytes(...parts);
}

/** The pieces without empty ones, and with characters side by side as one. */
function joined(pieces: readonly PromptPiece[]): PromptPiece[] {
  const found: PromptPiece[] = [];
  for (const { text, isMarker } of pieces) {
    const last = found.at(-1);
    const whole = isMarker ? text : wellFormed(text);
    if (whole === '') continue;
    if (last !== undefined && !last.isMarker && !isMarker)
      found[found.length - 1] = { text: last.text + whole, isMarker };
    else found.push({ text: whole, isMarker });
  }
  return found;
}
