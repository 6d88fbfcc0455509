import { describe, expect, it } from 'vitest';
import { textOf } from '#shared/text/prompt.ts';
import { readOpenLink, writeOpenLink } from '../../../web/receipts/open-link.ts';
import { codeOfAsync } from '../../support/code-of.ts';

const pieces = {
  isRendered: true,
  pieces: [
    { text: '<|user|>', isMarker: true },
    { text: '\nWho sings all year? – “the wren” 🐦\n', isMarker: false },
  ],
};
const secrets = {
  salt: new Uint8Array(32).fill(9),
  prompt: textOf(pieces),
  pieces,
  tokens: Array.from({ length: 300 }, (_, i) => (i * 7919) % 49_152),
};
const answer = 'The wren.\n';

describe('a link that opens a receipt', () => {
  it('carries salt, prompt, tokens and answer, in letters that addresses take as they are', async () => {
    const link = await writeOpenLink({ secrets, answer });
    expect(link).toMatch(/^[A-Za-z0-9_-]+$/);
    // 300 tokens of a large vocabulary, deflated.
    expect(link.length).toBeLessThan(1_600);
    expect(await readOpenLink(link)).toEqual({ secrets, answer });
  });

  it('without a prompt is one too', async () => {
    const bare = { secrets: { ...secrets, prompt: null, pieces: null }, answer: '' };
    expect(await readOpenLink(await writeOpenLink(bare))).toEqual(bare);
  });

  it('that was cut off, changed or made by others is refused', async () => {
    const link = await writeOpenLink({ secrets, answer });
    const other = await deflated(
      JSON.stringify({ answer, secrets: { format: 'chorus-receipt-secrets/1', salt: 'ab' } }),
    );
    for (const wrong of ['', '%', 'AAAA', link.slice(0, -9), `${link.slice(0, 40)}x${link.slice(41)}`, other]) {
      expect(await codeOfAsync(readOpenLink(wrong)), wrong).toBe('bad-message');
    }
  });

  it('that unfolds to more than it may is not read to its end', async () => {
    const bomb = await deflated(`{"answer":"${'a'.repeat(5 * 1024 * 1024)}"}`);
    expect(await codeOfAsync(readOpenLink(bomb))).toBe('too-large');
    expect(await codeOfAsync(readOpenLink('A'.repeat(600 * 1024)))).toBe('too-large');
  });
});

async function deflated(text: string): Promise<string> {
  const packed = new Blob([text]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  return Buffer.from(await new Response(packed).arrayBuffer()).toString('base64url');
}
