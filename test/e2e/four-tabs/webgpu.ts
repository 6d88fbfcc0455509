import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repetitions } from '../../support/effort.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import type { VolunteerTab } from '../../support/volunteer-tab.ts';

const question = 'What is the capital of Norway?';
/** A software GPU needs about a second for each. */
const maxNewTokens = 12;

/** Of the four tabs; all of them under `npm run test:thorough`, for each is a software GPU here. */
const onWebGpu = repetitions(1, 4);

/** `volunteers` are four tabs on WASM, some of which make way. */
export function describeWebGpu(networkOf: () => TestNetwork, volunteers: VolunteerTab[]): void {
  describe(`four tabs of which ${onWebGpu} on WebGPU, and a fifth that asks`, () => {
    const golden = readGoldenAnswers();
    const backends = Array.from({ length: 4 }, (_, i) => (i < onWebGpu ? 'webgpu' : 'wasm'));

    beforeAll(async () => {
      for (const { context } of volunteers.splice(0, onWebGpu)) await context.close();
      for (let i = 0; i < onWebGpu; i++) await networkOf().volunteer({ backend: 'webgpu' });
      await networkOf().servable();
    });

    afterAll(() => networkOf().empty());

    test('answer what the uncut model answers', async () => {
      const network = networkOf();
      const backendsThere = async () => (await network.snapshot()).volunteers.map(({ backend }) => backend);
      await expect.poll(async () => (await backendsThere()).sort()).toEqual([...backends].sort());
      const requester = await network.requester({ maxNewTokens });
      await sendQuestion(requester, question);
      const text = await finishedAnswer(requester);
      expect(text.trim()).toBe(golden.answer([{ role: 'user', content: question }], maxNewTokens).trim());
    });
  });
}
