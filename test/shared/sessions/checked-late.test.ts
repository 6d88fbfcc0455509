import { describe, expect, it } from 'vitest';
import { checkedNetwork, only, prompt, standing } from '../../support/checked-network.ts';
import { swapped } from '../../support/random-liars.ts';
import { toyAnswer } from '../../support/toy-model.ts';
import type { ToyNetwork, ToyVolunteer } from '../../support/toy-network.ts';
import { ask, greedy, stall } from '../../support/toy-stalls.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

/** Has a volunteer stand still for a while: what it is sent, and what it sends, comes at the end of that. */
function pause(network: ToyNetwork, { id }: ToyVolunteer, forMs: number): void {
  const untilMs = network.clock.nowMs() + forMs;
  const { fate } = network.links;
  network.links.fate = (message, from, to) => {
    const leftMs = untilMs - network.clock.nowMs();
    return leftMs > 0 && (from === id || to === id) ? [leftMs] : fate(message, from, to);
  };
}

describe('an answer whose stage lost the only one who checks it, for a moment', () => {
  it.each([0, 1, 2])('has all of it checked once it is complete, and makes a receipt: stage %i', async (stage) => {
    const network = checkedNetwork([], 2);
    const { events, longestMs } = await ask(network, 70, 190, (event) => {
      if (event.type === 'token' && event.position === 77) pause(network, network.of(stage)[1]!, 1_500);
    });
    expect(longestMs).toBeLessThanOrEqual(200);
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'checked').map(({ check }) => check.tier)).not.toContain('unchecked');
    const evidence = evidenceOf(events);
    expect(evidence.tier).toBe('checked');
    expect(failedChecks((await receiptOf(evidence)).verification)).toEqual([]);
  });

  it('takes back what the one who was left alone made up', async () => {
    const network = checkedNetwork([], 2);
    const [liar, honest] = network.of(2);
    let isLying: boolean | undefined;
    liar!.compute.tamper = (rows) => (isLying === true ? swapped(rows) : rows);
    const { events } = await network.ask(network.conversation(), greedy(prompt(70), 190), (event) => {
      if (event.type === 'token' && event.position === 77) pause(network, honest!, 1_500);
      if (event.type !== 'token') return;
      if (event.position === 200) isLying ??= true;
      if (event.position === 220) isLying = false;
    });
    expect(standing(events, 70)).toEqual(toyAnswer(prompt(70), 190));
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('ends unchecked, soon, where nobody comes back', async () => {
    const network = checkedNetwork([], 2);
    const shadow = network.of(1)[1]!;
    const { events, saidMs } = await ask(network, 70, 190, (event) => {
      if (event.type === 'token' && event.position === 77) stall(network, shadow, 'answers nothing');
    });
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'unchecked' });
    expect(network.clock.nowMs() - saidMs.at(-1)!).toBeLessThanOrEqual(6_000);
  });
});

describe('a shadow that was left out because it stood still', () => {
  it.each([0, 1, 2])('has its slot back as soon as it moves again: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    // It is found to be silent before it could be found to be slow.
    network.predictedMs = 50;
    const shadow = network.of(stage)[1]!;
    const conversation = network.conversation();
    await network.ask(conversation, greedy(prompt(70), 190), (event) => {
      if (event.type === 'token' && event.position === 77) pause(network, shadow, 5_000);
    });
    expect(JSON.stringify(network.routes.at(-1))).not.toContain(shadow.id);
    await network.clock.advance(6_000);
    expect([shadow.host.sessionCount, shadow.compute.sessionCount]).toEqual([0, 0]);
    conversation.close();
  });
});

describe('the next answer', () => {
  it.each(['in the same conversation', 'in another'])(
    'is checked by who was late in the one before: %s',
    async (where) => {
      const network = checkedNetwork([], 2);
      const shadow = network.of(1)[1]!;
      const { requester } = network.requester();
      const conversation = requester.openConversation(network.model);
      const first = await network.ask(conversation, greedy(prompt(40)), (event) => {
        if (event.type === 'token' && event.position === 41) pause(network, shadow, 20_000);
      });
      expect(first.events.at(-1)).toMatchObject({ type: 'end', tier: 'unchecked' });
      await network.clock.advance(20_000);
      const chat = [...prompt(40), ...standing(first.events, 40), 5];
      const next = where === 'in another' ? requester.openConversation(network.model) : conversation;
      const { events } = await network.ask(next, greedy(chat, 8));
      expect(standing(events, chat.length)).toEqual(toyAnswer(chat, 8));
      expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
    },
  );

  it('is not checked by who was shown to lie in the one before', async () => {
    const network = checkedNetwork(['referee'], 2);
    const liar = network.of(1)[1]!;
    liar.compute.tamper = (rows) => ({
      ...rows,
      bytes: rows.bytes.map((byte, i) => (i % 4 === 3 ? byte ^ 128 : byte)),
    });
    const conversation = network.conversation();
    const first = await network.ask(conversation, greedy(prompt(40)));
    expect(only(first.events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: true }]);
    const chat = [...prompt(40), ...standing(first.events, 40), 5];
    const { events } = await network.ask(conversation, greedy(chat, 8));
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'unchecked' });
    expect(JSON.stringify(network.routes.at(-1))).not.toContain(liar.id);
  });
});
