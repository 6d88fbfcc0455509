import { z } from 'zod';
import { utf8 } from '#shared/bytes.ts';
import { ChorusError } from '#shared/errors.ts';
import { readBody } from '#shared/peer/server/http.ts';
import {
  formatReceiptSecrets,
  parseReceiptSecrets,
  type ReceiptSecrets,
} from '#shared/receipt/build/receipt-secrets.ts';

/** The name of what opens a receipt in the query of the address after `#`, which browsers send nowhere. */
export const OPEN_PARAMETER = 'open';

/** Longer addresses are cut by much that they are pasted into, and are no link of this page. */
const MAX_LINK_CHARACTERS = 512 * 1024;
const MAX_OPENED_BYTES = 4 * 1024 * 1024;

/** The text of an answer with what opens its receipt: salt, prompt and tokens. */
export interface OpenedAnswer {
  readonly secrets: ReceiptSecrets;
  readonly answer: string;
}

const openedSchema = z.object({ answer: z.string(), secrets: z.unknown() });

/** JSON of answer and secrets, deflated, in base64 for addresses. */
export async function writeOpenLink({ secrets, answer }: OpenedAnswer): Promise<string> {
  const text = JSON.stringify({ answer, secrets: JSON.parse(formatReceiptSecrets(secrets)) as unknown });
  const packed = new Blob([utf8(text)]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return btoa(letters).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** What `writeOpenLink` wrote. Throws `bad-message` for anything else, `too-large` for what would unfold to too much. */
export async function readOpenLink(link: string): Promise<OpenedAnswer> {
  if (link.length > MAX_LINK_CHARACTERS) throw new ChorusError('too-large', 'this link is too long to be read');
  try {
    const letters = atob(link.replaceAll('-', '+').replaceAll('_', '/'));
    const packed = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    const body = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    const bytes = await readBody({ body }, MAX_OPENED_BYTES);
    const parsed = openedSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    return { answer: parsed.answer, secrets: parseReceiptSecrets(parsed.secrets) };
  } catch (thrown) {
    if (thrown instanceof ChorusError && thrown.code === 'too-large') throw thrown;
    throw new ChorusError(
      'bad-message',
      'this link does not open the receipt: it was cut off or changed on its way; ask for it again',
    );
  }
}
