import { sha256 } from '@noble/hashes/sha2.js';
import { describe, expect, it } from 'vitest';
import { COMMIT_TIMEOUT_MS, REFUSAL_WAIT_MS } from '#shared/limits.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import type { Rows } from '#shared/rows/rows.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { checkedNetwork, only, prompt, scaled, standing } from '../../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../../support/toy-model.ts';
import type { ToyNetwork, ToyVolunteer } from '../../../support/toy-network.ts';

const filled =
  (value: number, start: number) =>
  (rows: Rows): Rows => {
    if (rows.start + rows.count <= start) return rows;
    const bytes = rows.bytes.slice();
    const view = new DataView(bytes.buffer);
    // Of logits the first number is the sum's logarithm, then come pairs of token and logit.
    const offsets = rows.kind === 'hidden' ? [0] : rows.count > 0 ? [8] : [];
    for (const offset of offsets) view.setFloat32(offset, value, true);
    return { ...rows, bytes };
  };

/** An answer that must come out as the honest one. */
async function ask(network: ToyNetwork): Promise<AnswerEvent[]> {
  const request = { promptTokens: prompt(40), maxNewTokens: 16, sampling: GREEDY };
  const { events } = await network.ask(network.conversation(), request);
  expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 16));
  expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  return events;
}

/** Nobody is shown at fault, and the next route has neither of these. */
function expectBothLeftOut(network: ToyNetwork, events: readonly AnswerEvent[], pair: readonly ToyVolunteer[]): void {
  expect(only(events, 'fault')).toEqual([]);
  expect(network.reports).toEqual([]);
  const [rerouted] = only(events, 'rerouted');
  expect(rerouted).toMatchObject({
    volunteer: null,
    reason: expect.stringContaining('one of them is wrong') as string,
  });
  const next = JSON.stringify(network.routes[1]);
  for (const { id } of pair) expect(next).not.toContain(id);
  for (const { faults } of network.releases) expect(faults).toEqual([]);
}

describe('a stage that puts out what is no number', () => {
  const starts = [0, 5, 40, 50];
  const lies = [0, 1].flatMap((stage) => [NaN, Infinity].map((value) => [stage, value] as const));

  it.each(lies)('is left out and shown at fault, and nobody else: stage %i, %d', async (stage, value) => {
    for (const start of starts) {
      const network = checkedNetwork(['arbiter', 'referee'], 3);
      const liar = network.of(stage)[0]!;
      liar.compute.tamper = filled(value, start);
      const events = await ask(network);
      const fault = { volunteer: liar.id, stage, role: 'primary', code: 'rows-refused', isProven: false };
      expect(only(events, 'fault')).toMatchObject([fault]);
      expect(only(events, 'rerouted')).toMatchObject([{ volunteer: liar.id }]);
      expect(network.routes).toHaveLength(2);
      const blamed = network.releases.flatMap(({ faults }) => faults);
      expect(blamed).toEqual([{ volunteer: liar.id, code: 'bad-message' }]);
    }
  });

  it('is left out where it is the head, which the requester sees by itself', async () => {
    for (const start of starts) {
      const network = checkedNetwork(['arbiter', 'referee'], 3);
      const liar = network.of(2)[0]!;
      liar.compute.tamper = filled(NaN, start);
      const events = await ask(network);
      expect(only(events, 'rerouted')).toMatchObject([{ volunteer: liar.id }]);
      expect(network.routes).toHaveLength(2);
    }
  });

  it('and keeps back what is said of it is left out as soon', async () => {
    const network = checkedNetwork(['arbiter', 'referee'], 3);
    const liar = network.of(0)[0]!;
    liar.compute.tamper = filled(NaN, 40);
    network.links.fate = ({ type }, from) => (type === 'fault' && from === liar.id ? [] : [1]);
    const events = await ask(network);
    expect(only(events, 'fault')).toMatchObject([{ volunteer: liar.id, isProven: false }]);
    expect(network.clock.nowMs()).toBeLessThan(REFUSAL_WAIT_MS);
  });

  it('may also stop feeding a shadow, or close its session: neither of the two is at fault', async () => {
    for (const how of ['silence', 'close', 'link'] as const) {
      const network = checkedNetwork(['arbiter', 'referee'], 4);
      const [sender, shadow] = [network.of(0)[0]!, network.of(1)[1]!];
      const isToShadow = (from: string, to: string) => from === sender.id && to === shadow.id;
      if (how === 'silence') {
        network.links.fate = (message, from, to) =>
          message.type === 'rows' && message.rows.start >= 32 && isToShadow(from, to) ? [] : [1];
      } else if (how === 'close') {
        network.links.rewrite = (message, from, to) =>
          message.type === 'rows' && message.rows.start >= 32 && isToShadow(from, to)
            ? { type: 'close', session: message.session, reason: 'no more' }
            : message;
      } else network.clock.setTimer(() => sender.links.cutTo(shadow.id), 100);
      expectBothLeftOut(network, await ask(network), [sender, shadow]);
      // Sooner than a commit is missing.
      expect(network.clock.nowMs()).toBeLessThan(COMMIT_TIMEOUT_MS);
    }
  });

  it('is named by a shadow that hears of the check only after it has left', async () => {
    const network = checkedNetwork(['arbiter', 'referee'], 3);
    const [liar, shadow] = [network.of(0)[0]!, network.of(1)[1]!];
    liar.compute.tamper = filled(NaN, 0);
    network.links.fate = ({ type }, _, to) => [type === 'audit' && to === shadow.id ? 300 : 1];
    expect(only(await ask(network), 'fault')).toMatchObject([{ volunteer: liar.id, code: 'rows-refused' }]);
  });
});

describe('two that contradict each other are both left out, and neither is at fault:', () => {
  /** Four replicas of each stage; what the first of stage 0 sends to number `to` of stage 1 becomes `change`. */
  const deceiving = (to: number, change: (rows: Rows) => Rows): ToyNetwork => {
    const network = checkedNetwork(['arbiter', 'referee'], 4);
    const [sender, receiver] = [network.of(0)[0]!.id, network.of(1)[to]!.id];
    network.links.rewrite = (message, from, peer) => {
      if (message.type !== 'rows' || from !== sender || peer !== receiver) return message;
      const rows = change(message.rows);
      return { ...message, rows, digest: sha256(rows.bytes) };
    };
    return network;
  };

  it.each([
    ['what is no number to the primary', 0, filled(NaN, 40)],
    ['what is no number to the shadow', 1, filled(NaN, 40)],
    ['other rows to the primary', 0, scaled(-1, 40)],
    ['other rows to the shadow', 1, scaled(-1, 40)],
  ])('a primary that sends %s of the next stage, and that one', async (_, to, change) => {
    const network = deceiving(to, change);
    expectBothLeftOut(network, await ask(network), [network.of(0)[0]!, network.of(1)[to]!]);
  });

  it.each([
    ['primary', 0],
    ['shadow', 1],
  ])('a %s that says so of the honest one before it, and that one', async (_, index) => {
    const network = checkedNetwork(['arbiter', 'referee'], 4);
    const [sender, liar] = [network.of(0)[0]!, network.of(1)[index]!];
    network.links.rewrite = (message, from): PeerMessage => {
      if (message.type !== 'commit' || from !== liar.id) return message;
      const { session } = message.commit.statement;
      const text = 'the rows hold what is no number';
      return { type: 'fault', session, stage: 1, code: 'bad-message', message: text, volunteer: sender.id };
    };
    expectBothLeftOut(network, await ask(network), [sender, liar]);
  });

  it('the first primary that says so in the name of another, whatever a shadow adds to it', async () => {
    const network = checkedNetwork(['arbiter', 'referee'], 4);
    const [first, sender, receiver, liar] = [0, 1, 2, 2].map((stage, i) => network.of(stage)[i === 3 ? 1 : 0]!);
    network.links.rewrite = (message, from): PeerMessage => {
      const isFirst = from === first!.id && message.type === 'commit';
      const isLiar = from === liar!.id && message.type === 'commit';
      if ((!isFirst && !isLiar) || network.routes.length > 1) return message;
      const { session } = message.commit.statement;
      const text = 'the rows hold what is no number';
      return { type: 'fault', session, stage: 2, code: 'bad-message', message: text, volunteer: sender!.id };
    };
    expectBothLeftOut(network, await ask(network), [sender!, receiver!]);
  });

  it.each([
    ['commits to', 'commit'],
    ['reports', 'fault'],
  ])('unless a second one %s the same: then it is the sender', async (_, how) => {
    const network = checkedNetwork(['arbiter', 'referee'], 4);
    const sender = network.of(0)[0]!;
    const receivers = network.of(1).map(({ id }) => id);
    network.links.rewrite = (message, from, to) => {
      if (message.type !== 'rows' || from !== sender.id || !receivers.includes(to)) return message;
      const rows = (how === 'commit' ? scaled(-1, 40) : filled(Infinity, 40))(message.rows);
      return { ...message, rows, digest: sha256(rows.bytes) };
    };
    const events = await ask(network);
    const code = how === 'commit' ? 'output-mismatch' : 'rows-refused';
    expect(only(events, 'fault')).toMatchObject([{ volunteer: sender.id, code, isProven: false }]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: sender.id }]);
  });
});
