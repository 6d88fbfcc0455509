import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseReceiptSecrets, formatReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import { receiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';

/** Made by receipt.py. */
const vector = JSON.parse(readFileSync('test/vectors/receipt.json', 'utf8')) as {
  readonly receipt: ReceiptFile;
  readonly answer: string;
  readonly secrets: { readonly prompt: string };
  readonly policy: string;
  readonly id: string;
  readonly entry: string;
};

/** Base64 with its first digit changed. */
const flipped = (base64: string) => (base64.startsWith('A') ? 'B' : 'A') + base64.slice(1);

describe('a receipt that another program made', () => {
  it('passes every check', async () => {
    const { salt, prompt, tokens } = parseReceiptSecrets(vector.secrets);
    const { receipt, answer, policy } = vector;
    const found = await verifyReceipt({ receipt, answer, policy, salt, prompt: prompt!, tokens, verify });
    // It names the calibration of the day it was made, and a manifest that nobody has.
    const open = found.checks.filter(({ status }) => status !== 'passed').map(({ name }) => name);
    expect([found.isValid, open.filter((name) => name !== 'thresholds')]).toEqual([true, ['draw', 'model']]);
    expect(found.id).toBe(vector.id);
    expect(found.summary).toMatchObject({ requester: { kind: 'gateway' }, log: { index: 2, size: 3 } });
    expect(found.notProved.some((line) => line.includes('the gateway is the requester'))).toBe(true);
  });

  const { receipt, answer, policy } = vector;
  const { salt, prompt, tokens } = parseReceiptSecrets(vector.secrets);
  const right = { receipt, answer, policy, salt, prompt: prompt!, tokens, verify };
  const [seal] = receipt.envelope.signatures;
  const otherSeal = { ...seal!, sig: flipped(seal!.sig) };

  it.each<[string, Partial<typeof right>, readonly string[]]>([
    ['another answer', { answer: `${answer} ` }, ['answer']],
    ['another prompt', { prompt: `${prompt} ` }, ['prompt']],
    ['another token', { tokens: [...tokens.slice(0, -1), tokens.at(-1)! + 1] }, ['tokens']],
    ['another salt', { salt: salt.map((byte, i) => (i === 0 ? byte ^ 1 : byte)) }, ['prompt', 'tokens']],
    [
      'another signature of who asked',
      { receipt: { ...receipt, envelope: { ...receipt.envelope, signatures: [otherSeal] } } },
      ['requester-signature'],
    ],
    [
      'another index in its proof',
      { receipt: { ...receipt, proof: receipt.proof!.replace('index 2', 'index 1') } },
      ['log-inclusion'],
    ],
    [
      'a policy of another log',
      { policy: policy.replaceAll('log.example/vector', 'log.example/other') },
      ['log-signature', 'witnesses'],
    ],
  ])('fails with %s', async (_, wrong, names) => {
    const found = await verifyReceipt({ ...right, ...wrong });
    const failed = found.checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
    expect([found.isValid, failed]).toEqual([false, names]);
  });

  it('has the entry that the program wrote', () => {
    expect(new TextDecoder().decode(receiptEntry(vector.receipt))).toBe(vector.entry);
  });

  it('has secrets that come back as they were written', () => {
    expect(JSON.parse(formatReceiptSecrets(parseReceiptSecrets(vector.secrets)))).toEqual(vector.secrets);
  });
});
