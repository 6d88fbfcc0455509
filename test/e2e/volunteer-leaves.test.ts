import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shortId } from '#shared/ids.ts';
import { answerText, finishedAnswer, sendQuestion, startNetwork, type TestNetwork } from '../support/network.ts';
import { loadOracle, type Oracle } from '../support/oracle.ts';
import { pressStart, type VolunteerTab } from '../support/volunteer-tab.ts';

const question = 'Tell me a story about two friends.';
const maxNewTokens = 128;

describe('two stages with two tabs each', () => {
  let network: TestNetwork;
  let oracle: Oracle;
  const volunteers: VolunteerTab[] = [];

  beforeAll(async () => {
    oracle = await loadOracle('wren', 'q4');
    network = await startNetwork({ anchors: 0, minStages: 2 });
    for (let i = 0; i < 4; i++) volunteers.push(await network.volunteer());
    await network.servable();
  });

  afterAll(async () => {
    await network.stop();
    await oracle.dispose();
  });

  test('go on with the same text when a tab of the route is killed in the middle of an answer', async () => {
    const requester = await network.requester({ maxNewTokens });
    await sendQuestion(requester, question);
    await answerText(requester).waitFor();
    const route = await requester.page.getByRole('list', { name: 'Route of the answer' }).innerText();
    const victim = volunteers.find((volunteer) => route.includes(shortId(volunteer.id)));
    expect(victim).toBeDefined();
    await victim?.context.close();

    const text = await finishedAnswer(requester);
    expect(text.trim()).toBe((await oracle.answer([{ role: 'user', content: question }], maxNewTokens)).trim());
    expect(await requester.page.getByText('A volunteer left').count()).toBeGreaterThan(0);
  });

  test('a tab that was working and is reloaded works again within 3 s of Start', async () => {
    const { volunteers: alive } = await network.snapshot();
    const tab = volunteers.find((volunteer) => alive.some(({ id }) => id === volunteer.id));
    if (tab === undefined) throw new Error('no volunteer is left');
    const held = alive.find(({ id }) => id === tab.id)?.range;
    await tab.page.reload();
    const startedAtMs = performance.now();
    await pressStart(tab);
    await expect
      .poll(async () => (await network.snapshot()).volunteers.find(({ id }) => id === tab.id)?.state, {
        interval: 50,
        timeout: 30_000,
      })
      .toBe('ready');
    expect(performance.now() - startedAtMs).toBeLessThan(3_000);
    expect((await network.snapshot()).volunteers.find(({ id }) => id === tab.id)?.range).toEqual(held);
  });
});
