import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { finishedAnswer, sendQuestion, startNetwork, type TestNetwork } from '../support/network.ts';
import { loadOracle, type Oracle } from '../support/oracle.ts';

const question = 'What is the capital of Norway?';
/** A software GPU needs about a second for each. */
const maxNewTokens = 12;

describe('four tabs that compute on WebGPU, and a fifth that asks', () => {
  let network: TestNetwork;
  let oracle: Oracle;

  beforeAll(async () => {
    oracle = await loadOracle('wren', 'q4');
    network = await startNetwork({ anchors: 0, minStages: 4 });
    for (let i = 0; i < 4; i++) await network.volunteer({ backend: 'webgpu' });
    await network.servable();
  });

  afterAll(async () => {
    await network.stop();
    await oracle.dispose();
  });

  test('answer what the uncut model answers', async () => {
    const { volunteers } = await network.snapshot();
    expect(volunteers.map((volunteer) => volunteer.backend)).toEqual(Array(4).fill('webgpu'));
    const requester = await network.requester({ maxNewTokens });
    await sendQuestion(requester, question);
    const text = await finishedAnswer(requester);
    expect(text.trim()).toBe((await oracle.answer([{ role: 'user', content: question }], maxNewTokens)).trim());
  });
});
