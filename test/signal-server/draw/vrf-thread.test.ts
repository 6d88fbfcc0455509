import { afterEach, describe, expect, it } from 'vitest';
import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '#shared/bytes.ts';
import { VrfKey, verifyVrf } from '#shared/draw/vrf.ts';
import { createVrfThread, type VrfProver } from '../../../signal-server/draw/vrf-thread.ts';

const secretKey = sha256(utf8('thread'));
const key = new VrfKey(secretKey);
let prover: VrfProver | null = null;

afterEach(() => prover?.stop());

describe('proofs of draws', () => {
  it(
    'are the same here and in a thread, which starts once there were many and leaves none undone',
    { timeout: 60_000 },
    async () => {
      prover = createVrfThread(secretKey, 2);
      const inputs = Array.from({ length: 4 }, (_, i) => utf8(`input ${i}`));
      for (const input of inputs) {
        const { proof, output } = await prover.prove(input);
        expect(verifyVrf(key.publicKey, input, proof)).toEqual(output);
      }
      await prover.isInThread();
      const proofs = await Promise.all(inputs.map((input) => prover!.prove(input)));
      expect(proofs).toEqual(inputs.map((input) => key.prove(input)));
      const asked = prover.prove(inputs[0]!);
      prover.stop();
      expect(await asked).toEqual(proofs[0]);
    },
  );
});
