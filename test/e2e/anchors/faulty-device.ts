import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { askGreedily, startAskingProgram, type AskingProgram } from '../../support/asking-program.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import type { TestNetwork } from '../../support/network.ts';
import { longQuestion } from '../../support/prompts.ts';
import { pressStart } from '../../support/volunteer-tab.ts';
import { keepSubgroups, keepSubgroupsUnprobed } from '../../support/wrapped-workers.ts';

/** Each takes a software GPU a second. */
const maxNewTokens = 4;
const MOST_ANSWERS = 200;

export function describeFaultyDevice(networkOf: () => TestNetwork): void {
  describe('a device that computes wrongly without wanting to', () => {
    const golden = readGoldenAnswers();
    const prompt = golden.chat([{ role: 'user', content: longQuestion }]);
    let program: AskingProgram;

    beforeAll(async () => {
      program = await startAskingProgram(networkOf().server.url);
    });

    afterAll(async () => {
      program.close();
      await networkOf().empty();
    });

    /** Asks until it is drawn: it is as soon as it is on a roster that this requester has seen. */
    async function askWith(volunteer: PeerId): ReturnType<typeof askGreedily> {
      for (let answers = 0; answers < MOST_ANSWERS; answers++) {
        const conversation = program.open({ shadows: 2 });
        const asked = await askGreedily(conversation, prompt, maxNewTokens);
        conversation.close();
        const routed = asked.events.filter((event) => event.type === 'routed');
        if (JSON.stringify(routed).includes(volunteer)) return asked;
      }
      throw new Error('the volunteer was never drawn');
    }

    test('is refused by the probe', async () => {
      const network = networkOf();
      const tab = await network.requester({ backend: 'webgpu', script: keepSubgroups });
      await tab.page.goto(`${network.server.url}/#/volunteer`);
      await pressStart(tab);
      await tab.page.getByText('This device computes differently').first().waitFor({ timeout: 150_000 });
      const { volunteers } = await network.snapshot();
      expect(volunteers.filter(({ backend, state }) => backend === 'webgpu' && state === 'ready')).toEqual([]);
      await tab.context.close();
    });

    test('is caught by the check and named where the probe is left out, and the answer is the honest one', async () => {
      const network = networkOf();
      expect(prompt.length).toBeGreaterThan(32);
      const faulty = await network.volunteer({ backend: 'webgpu', script: keepSubgroupsUnprobed });
      const held = (await network.snapshot()).volunteers.find(({ id }) => id === faulty.id);
      expect(held?.numericClass).toBe('webgpu/google/swiftshader-subgroups');

      const { events, tokens } = await askWith(faulty.id);
      expect(tokens).toEqual(golden.greedy(prompt, maxNewTokens));
      // Which stage it serves is drawn. At the head no logits of the first chunk are wanted, and those after it are not far enough off to convict.
      const isHead = held!.range!.head;
      const found = isHead
        ? { isProven: false, start: 32, end: prompt.length + 3 }
        : { isProven: true, start: 0, end: 32 };
      expect(events.filter((event) => event.type === 'fault')).toEqual([
        expect.objectContaining({ volunteer: faulty.id, code: 'disagreement', ...found }),
      ]);
      expect(events.at(-1)).toMatchObject({ type: 'end', counts: { disputed: 0, unchecked: 0 } });
      await expect
        .poll(async () => (await network.snapshot()).faults.map(({ volunteer }) => volunteer))
        .toEqual(isHead ? [] : [faulty.id]);
    });
  });
}
