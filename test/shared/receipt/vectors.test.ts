import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { parseReceiptSecrets, formatReceiptSecrets } from '#shared/receipt/receipt-secrets.ts';
import { receiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import { verifyReceipt } from '#shared/receipt/verify-receipt.ts';

/** Made by receipt.py. */
const vector = JSON.parse(readFileSync('test/vectors/receipt.json', 'utf8')) as {
  readonly receipt: ReceiptFile;
  readonly answer: string;
  readonly secrets: { readonly prompt: string };
  readonly policy: string;
  readonly id: string;
  readonly entry: string;
};

describe('a receipt that another program made', () => {
  it('passes every check', async () => {
    const { salt, prompt, tokens } = parseReceiptSecrets(vector.secrets);
    const { receipt, answer, policy } = vector;
    const found = await verifyReceipt({ receipt, answer, policy, salt, prompt: prompt!, tokens, verify });
    // It names the calibration of the day it was made, and a manifest that nobody has.
    const open = found.checks.filter(({ status }) => status !== 'passed').map(({ name }) => name);
    expect([found.isValid, open.filter((name) => name !== 'thresholds')]).toEqual([true, ['model']]);
    expect(found.id).toBe(vector.id);
    expect(found.summary).toMatchObject({ requester: { kind: 'gateway' }, log: { index: 2, size: 3 } });
    expect(found.notProved.some((line) => line.includes('the gateway is the requester'))).toBe(true);
  });

  it('has the entry that the program wrote', () => {
    expect(new TextDecoder().decode(receiptEntry(vector.receipt))).toBe(vector.entry);
  });

  it('has secrets that come back as they were written', () => {
    expect(JSON.parse(formatReceiptSecrets(parseReceiptSecrets(vector.secrets)))).toEqual(vector.secrets);
  });
});
