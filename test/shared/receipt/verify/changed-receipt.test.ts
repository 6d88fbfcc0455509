import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64, utf8 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import type { ReceiptFile } from '#shared/receipt/receipt.ts';
import type { CheckName } from '#shared/receipt/verify/check.ts';
import { verifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { giveAnswer, makePeople, makeReceipt, policyOf } from '../../../support/receipts.ts';

const people = await makePeople();
const receipt = await makeReceipt(await giveAnswer(people));
const policy = policyOf(people);

async function failures(changed: unknown): Promise<CheckName[]> {
  const { checks, isValid } = await verifyReceipt({ receipt: changed, policy, verify });
  const failed = checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
  expect(isValid).toBe(failed.length === 0);
  return failed;
}

/** Every one of the bits is flipped in turn by a long enough run; this takes some of them. */
async function flipping(
  bytes: Uint8Array,
  make: (flipped: Uint8Array<ArrayBuffer>) => unknown,
  expected: CheckName[],
  numRuns: number,
) {
  const property = fc.asyncProperty(fc.nat(8 * bytes.length - 1), async (bit) => {
    const flipped = Uint8Array.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const failed = await failures(make(flipped));
    expect(failed.filter((name) => expected.includes(name))).not.toEqual([]);
  });
  await fc.assert(property, { numRuns });
}

const withEnvelope = (change: Partial<ReceiptFile['envelope']>) => ({
  ...receipt,
  envelope: { ...receipt.envelope, ...change },
});
const [signature] = receipt.envelope.signatures as [ReceiptFile['envelope']['signatures'][number]];
/** Where a proof's flipped bytes are no UTF-8, what reads the file makes them a replacement character. */
const asText = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe('a receipt of which one bit was changed', () => {
  it('fails wherever in the statement it is', async () => {
    await flipping(
      fromBase64(receipt.envelope.payload),
      (payload) => withEnvelope({ payload: toBase64(payload) }),
      ['requester-signature', 'statement'],
      150,
    );
  });

  it('fails wherever in the signature it is', async () => {
    const sigs = (sig: Uint8Array) => withEnvelope({ signatures: [{ ...signature, sig: toBase64(sig) }] });
    await flipping(fromBase64(signature.sig), sigs, ['requester-signature'], 60);
  });

  it('fails wherever in the proof it is', async () => {
    const names: CheckName[] = ['log-inclusion', 'log-signature', 'witnesses'];
    await flipping(utf8(receipt.proof!), (proof) => ({ ...receipt, proof: asText(proof) }), names, 150);
  });

  it('fails wherever in the characters of the file it is', async () => {
    const bytes = utf8(JSON.stringify(receipt));
    await fc.assert(
      fc.asyncProperty(fc.nat(8 * bytes.length - 1), async (bit) => {
        const flipped = Uint8Array.from(bytes);
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        let changed: unknown;
        try {
          changed = JSON.parse(asText(flipped));
        } catch {
          return;
        }
        expect(await failures(changed)).not.toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('has base64 in one way only', async () => {
    const { payload } = receipt.envelope;
    expect(await failures(withEnvelope({ payload: `${payload}\n` }))).toContain('format');
    expect(await failures(withEnvelope({ signatures: [{ ...signature, sig: ` ${signature.sig}` }] }))).toEqual([
      'requester-signature',
    ]);
  });

  it('has one signature, under the id of its key', async () => {
    expect(await failures(withEnvelope({ signatures: [signature, signature] }))).toEqual(['requester-signature']);
    expect(await failures(withEnvelope({ signatures: [{ ...signature, keyid: '' }] }))).toEqual([
      'requester-signature',
    ]);
  });
});

describe('what a receipt does not claim', () => {
  it('is what a proof says beside its checkpoint, and what others signed to it', async () => {
    const extra = receipt.proof!.replace('index', 'extra AAAA\nindex');
    const signed = `${receipt.proof!}\u2014 passer.example/by AAAAAAAAAAAA\n`;
    for (const proof of [extra, signed]) expect(await failures({ ...receipt, proof })).toEqual([]);
  });

  it('is what it does not know', async () => {
    expect(await failures({ ...receipt, note: 'anything' })).toEqual([]);
  });
});
