import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '#shared/bytes.ts';
import { verifyVrf, VRF_PROOF_BYTES, VrfKey } from '#shared/draw/vrf.ts';

/** RFC 9381, appendix B.3 (examples 16 to 18). */
const VECTORS = [
  {
    secret: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    key: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    input: '',
    proof:
      '8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805',
    output:
      '90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae',
  },
  {
    secret: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    key: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    input: '72',
    proof:
      'f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02',
    output:
      'eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031',
  },
  {
    secret: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    key: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    input: 'af82',
    proof:
      '9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e',
    output:
      '645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c452118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f',
  },
].map((vector) => Object.fromEntries(Object.entries(vector).map(([name, hex]) => [name, fromHex(hex)])));

describe('VRF', () => {
  it('gives the keys, proofs and outputs of the RFC', () => {
    for (const { secret, key, input, proof, output } of VECTORS) {
      const made = new VrfKey(secret!);
      expect(made.publicKey).toEqual(key);
      expect(made.prove(input!)).toEqual({ proof, output });
      expect(verifyVrf(key!, input!, proof!)).toEqual(output);
    }
  });

  it('takes no proof of another input or key, and none with a byte changed', () => {
    const [first, second] = VECTORS;
    expect(verifyVrf(first!.key!, utf8('other'), first!.proof!)).toBeNull();
    expect(verifyVrf(second!.key!, first!.input!, first!.proof!)).toBeNull();
    for (const at of [0, 31, 32, 47, 48, 79]) {
      const proof = first!.proof!.slice();
      proof[at]! ^= 1;
      expect(verifyVrf(first!.key!, first!.input!, proof)).toBeNull();
    }
    expect(verifyVrf(first!.key!, first!.input!, first!.proof!.slice(1))).toBeNull();
    expect(first!.proof).toHaveLength(VRF_PROOF_BYTES);
  });

  it('takes no key of small order, whose outputs would be the same for every input', () => {
    const [{ input, proof }] = VECTORS as [(typeof VECTORS)[number]];
    for (const key of ['01', 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f', '00']) {
      expect(verifyVrf(fromHex(key.padEnd(64, '0')), input!, proof!)).toBeNull();
    }
  });

  it('takes no response beyond the order, by which one proof would be many', () => {
    const [{ key, input, proof }] = VECTORS as [(typeof VECTORS)[number]];
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const response = BigInt(`0x${toHex(proof!.slice(48).reverse())}`) + order;
    const bytes = fromHex(response.toString(16).padStart(64, '0')).reverse();
    expect(verifyVrf(key!, input!, Uint8Array.from([...proof!.slice(0, 48), ...bytes]))).toBeNull();
  });
});
