import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { repetitions } from '../../support/effort.ts';
import { checkedNetwork, only, prompt, standing } from '../../support/checked-network.ts';
import { ALLOWED_MS, ask, greedy, stall, STALLS } from '../../support/toy-stalls.ts';
import { swapped } from '../../support/random-liars.ts';
import { toyAnswer } from '../../support/toy-model.ts';
import { ToyNetwork, type ToyVolunteer } from '../../support/toy-network.ts';
import { evidenceOf, failedChecks, receiptOf } from '../../support/toy-receipt.ts';

const places = [0, 1, 2].flatMap((stage) => STALLS.map((how) => [stage, how] as const));

describe('a volunteer that stalls while tokens are drawn', () => {
  it.each(places)(
    'loses its place in time, with the same text and checked: stage %i, one that %s',
    async (stage, how) => {
      const network = checkedNetwork([], 3);
      const stalling = network.of(stage)[0]!;
      let isStalled = false;
      const { events, longestMs } = await ask(network, 70, 24, (event) => {
        if (isStalled || event.type !== 'token' || event.position < 77) return;
        isStalled = true;
        stall(network, stalling, how);
      });
      expect(longestMs).toBeLessThanOrEqual(ALLOWED_MS);
      expect(only(events, 'rerouted')).toHaveLength(1);
      // Nothing that was said is taken back.
      expect(only(events, 'rerouted')[0]!.from).toBeGreaterThanOrEqual(78);
      expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
      expect(JSON.stringify(network.routes[1])).not.toContain(stalling.id);
      if (how !== 'is gone') {
        expect(only(events, 'fault')).toEqual([]);
        expect(network.releases.flatMap(({ faults }) => faults)).toEqual([]);
      }
    },
  );

  it.each([0, 1, 2])('and is slow by its large model has three laps: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    for (const { compute } of network.volunteers) compute.runMs = 200;
    network.predictedMs = 200;
    const stalling = network.of(stage)[0]!;
    const { longestMs } = await ask(network, 20, 24, (event) => {
      if (event.type === 'token' && event.position === 30) stall(network, stalling, 'answers nothing');
    });
    // Asked after one and a half, found in half a one, and the prompt goes round once more.
    expect(longestMs).toBeLessThanOrEqual(3 * 610);
  });
});

describe('a volunteer that stalls while the prompt is fed', () => {
  it.each(places)(
    'loses its place in time, with the same text and checked: stage %i, one that %s',
    async (stage, how) => {
      const network = checkedNetwork([], 3);
      const stalling = network.of(stage)[0]!;
      let [isStalled, lastWordMs] = [false, 0];
      const { fate } = network.links;
      network.links.fate = (message, from, to) => {
        if (from === stalling.id && message.type === 'rows') lastWordMs = network.clock.nowMs();
        return fate(message, from, to);
      };
      const { events, saidMs } = await ask(network, 600, 8, (event) => {
        if (isStalled || event.type !== 'prompt') return;
        isStalled = true;
        stall(network, stalling, how);
      });
      // One chunk each 2 ms, and the way of the last.
      const promptMs = 20 * 2 + 20;
      // A first run of its size may take a second where nothing is known of it but the prediction.
      expect(saidMs[0]! - lastWordMs).toBeLessThanOrEqual(ALLOWED_MS + promptMs);
      expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
      expect(JSON.stringify(network.routes[1])).not.toContain(stalling.id);
    },
  );
});

describe('tokens that no verdict covers when their volunteer stalls', () => {
  it.each([0, 1, 2])('are drawn again, and the answer makes a receipt that verifies: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    const { events } = await ask(network, 70, 24, (event) => {
      if (event.type === 'token' && event.position === 80) stall(network, network.of(stage)[0]!, 'answers nothing');
    });
    const evidence = evidenceOf(events);
    expect(evidence.tier).toBe('checked');
    // The logits of several positions were wanted in one run.
    expect(Math.max(...evidence.runs.map(({ logits }) => logits))).toBeGreaterThan(1);
    expect(failedChecks((await receiptOf(evidence)).verification)).toEqual([]);
  });

  it('are taken back where they were lies, from the first one on', async () => {
    const network = checkedNetwork([], 3);
    const liar = network.of(2)[0]!;
    liar.compute.tamper = (rows) => (rows.start < 74 ? rows : swapped(rows));
    const { events } = await ask(network, 70, 24, (event) => {
      if (event.type === 'token' && event.position === 80) stall(network, liar, 'answers nothing');
    });
    expect(only(events, 'rerouted').map(({ from }) => from)).toEqual([81, 75]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('stay as they are in an answer that nobody checks', async () => {
    const network = new ToyNetwork(2);
    const { events, longestMs } = await ask(network, 70, 24, (event) => {
      if (event.type === 'token' && event.position === 80) stall(network, network.of(1)[0]!, 'answers nothing');
    });
    expect(longestMs).toBeLessThanOrEqual(ALLOWED_MS);
    expect(only(events, 'rerouted')).toMatchObject([{ from: 81 }]);
  });
});

describe('black holes', () => {
  it.each([0, 1, 2])('that were never heard of are found before anything is fed: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    stall(network, network.of(stage)[0]!, 'answers nothing');
    const { events, saidMs } = await ask(network, 40, 8);
    expect(saidMs[0]).toBeLessThanOrEqual(2 * ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('one after the other, and one in each of two stages at once, still end in the right text', async () => {
    const network = checkedNetwork([], 5);
    const [first, second] = [network.of(1)[0]!, network.of(1)[1]!];
    const { events, longestMs } = await ask(network, 40, 24, (event) => {
      if (event.type !== 'token') return;
      if (event.position === 45) stall(network, first, 'answers nothing');
      if (event.position === 50) stall(network, second, 'answers nothing');
      if (event.position === 55) for (const stage of [0, 2]) stall(network, network.of(stage)[0]!, 'answers nothing');
    });
    expect(longestMs).toBeLessThanOrEqual(ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });

  it('that fill all places but one of each stage are got over', async () => {
    const network = checkedNetwork([], 4);
    for (const stage of [0, 1, 2]) for (const n of [0, 1]) stall(network, network.of(stage)[n]!, 'answers nothing');
    const { events, saidMs } = await ask(network, 40, 8);
    expect(saidMs[0]).toBeLessThanOrEqual(3 * ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });
});

describe('a shadow that answers nothing', () => {
  it.each([0, 1, 2])('costs no time, and another one is found: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    const shadow = network.of(stage)[1]!;
    const { events, longestMs } = await ask(network, 70, 200, (event) => {
      if (event.type === 'token' && event.position === 77) stall(network, shadow, 'answers nothing');
    });
    // The answer stops for as long as it takes to open the other route and to feed it.
    expect(longestMs).toBeLessThanOrEqual(200);
    expect(only(events, 'fault')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
    expect(JSON.stringify(network.routes.at(-1))).not.toContain(shadow.id);
  });

  it('and that nobody can take the place of is left out, while the answer goes on unchecked', async () => {
    const network = checkedNetwork([], 2);
    const shadow = network.of(1)[1]!;
    const { events, longestMs } = await ask(network, 70, 200, (event) => {
      if (event.type === 'token' && event.position === 77) stall(network, shadow, 'answers nothing');
    });
    expect(longestMs).toBeLessThanOrEqual(200);
    // Once all tokens are there, it is asked once more.
    const { length } = standing(events, 70);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null, from: 70 + length - 1 }]);
    expect(only(events, 'fault')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'unchecked' });
  });
});

describe('an answer whose tokens are all there', () => {
  it.each([0, 1, 2])('does not wait for the word of a primary that answers nothing: stage %i', async (stage) => {
    const network = checkedNetwork([], 3);
    const stalling = network.of(stage)[0]!;
    const { events, saidMs } = await ask(network, 70, 20, (event) => {
      if (event.type === 'token' && event.position === 89) stall(network, stalling, 'answers nothing');
    });
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'length', tier: 'checked' });
    expect(network.clock.nowMs() - saidMs.at(-1)!).toBeLessThanOrEqual(2 * ALLOWED_MS);
  });
});

describe('two neighbours that contradict each other', () => {
  it.each([
    [
      'the sender says that it sent what it did not',
      (network: ToyNetwork, [sender]: readonly ToyVolunteer[]) => {
        network.links.fate = (message, from) => (message.type === 'rows' && from === sender!.id ? [] : [1]);
      },
    ],
    [
      'the receiver says that it got nothing',
      (network: ToyNetwork, [, receiver]: readonly ToyVolunteer[]) => {
        network.links.rewrite = (message, from) =>
          message.type === 'progressed' && from === receiver!.id ? { ...message, received: 0, sent: 0 } : message;
        receiver!.compute.runMs = 10_000_000;
      },
    ],
  ] as const)('are both left out of this answer, and of no other: %s', async (_, deceive) => {
    const network = checkedNetwork([], 4);
    const pair = [network.of(0)[0]!, network.of(1)[0]!];
    let isDeceiving = false;
    const conversation = network.conversation();
    const { events } = await network.ask(conversation, greedy(prompt(40)), (event) => {
      if (isDeceiving || event.type !== 'token') return;
      isDeceiving = true;
      deceive(network, pair);
    });
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 24));
    expect(only(events, 'fault')).toEqual([]);
    expect(only(events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    for (const { id } of pair) expect(JSON.stringify(network.routes[1])).not.toContain(id);
    expect(network.releases.flatMap(({ faults, stalled }) => [...faults, ...stalled])).toEqual([]);
    network.links.fate = () => [1];
    network.links.rewrite = (message) => message;
    pair[1]!.compute.runMs = 2;
    conversation.close();
    const again = await network.ask(network.conversation(), greedy(prompt(40)));
    expect(again.events.at(-1)).toMatchObject({ tier: 'checked' });
    for (const { id } of pair) expect(JSON.stringify(network.routes.at(-1))).toContain(id);
  });
});

describe('a volunteer that is only slow', () => {
  it('is left out of the answer without a word against it, and is asked again for the next', async () => {
    const network = checkedNetwork([], 3);
    const slow = network.of(1)[0]!;
    const conversation = network.conversation();
    const first = await network.ask(conversation, greedy(prompt(40)), (event) => {
      if (event.type === 'token' && event.position === 45) slow.compute.runMs = 1_500;
    });
    expect(only(first.events, 'rerouted')).toMatchObject([{ volunteer: null }]);
    expect(network.releases.flatMap(({ faults }) => faults)).toEqual([]);
    // The server hears of it, for the routes that it gives this requester.
    expect(network.releases.flatMap(({ stalled }) => stalled)).toEqual([slow.id]);
    conversation.close();
    slow.compute.runMs = 2;
    await network.ask(network.conversation(), greedy(prompt(40)));
    expect(network.routes.at(-1)!.stages[1]!.primary.id).toBe(slow.id);
  });

  it('keeps its place where the answer would be checked less without it', async () => {
    const network = checkedNetwork([], 2);
    const slow = network.of(1)[0]!;
    const { events } = await ask(network, 40, 12, (event) => {
      if (event.type === 'token' && event.position === 45) slow.compute.runMs = 1_500;
    });
    expect(only(events, 'rerouted')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
    // It is not asked for again and again.
    expect(network.routes.length).toBeLessThanOrEqual(5);
  });

  it.each(['slow', 'silent'] as const)(
    'is let back, once, where a stage would have nobody to check it: %s for a moment',
    async (how) => {
      const network = checkedNetwork([], 3);
      const [passing, lasting] = network.of(1);
      const { fate } = network.links;
      let isMute = false;
      network.links.fate = (message, from, to) =>
        isMute && (from === passing!.id || to === passing!.id) ? [] : fate(message, from, to);
      const { events } = await ask(network, 40, 40, (event) => {
        if (event.type === 'rerouted') {
          [isMute, passing!.compute.runMs] = [false, 2];
          return;
        }
        if (event.type !== 'token') return;
        if (event.position === 45 && how === 'slow') passing!.compute.runMs = 1_500;
        if (event.position === 45 && how === 'silent') isMute = true;
        if (event.position === 60) stall(network, lasting!, 'answers nothing');
      });
      expect(only(events, 'rerouted')).toHaveLength(2);
      expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
      const last = JSON.stringify(network.routes.at(-1));
      expect(last).toContain(passing!.id);
      expect(last).not.toContain(lasting!.id);
    },
  );

  it('keeps its place where there is nobody else', async () => {
    const network = checkedNetwork([], 1);
    for (const { compute } of network.volunteers) compute.runMs = 1_500;
    const { events } = await ask(network, 40, 12);
    expect(only(events, 'rerouted')).toEqual([]);
    expect(network.releases).toEqual([]);
  });
});

describe('honest volunteers', () => {
  it('lose no place by laps that vary up to 2.5 times, nor by one pause of 400 ms', async () => {
    const factor = fc.double({ min: 1, max: 2.5, noNaN: true });
    const stream = fc.infiniteStream(factor);
    const pause = fc.record({ stage: fc.nat(2), position: fc.integer({ min: 41, max: 60 }) });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 300 }), stream, pause, async (runMs, factors, { stage, position }) => {
        const network = checkedNetwork([], 3);
        network.predictedMs = runMs;
        const vary = (): void => {
          for (const { compute } of network.volunteers) compute.runMs = runMs * factors.next().value!;
        };
        vary();
        let isPaused = false;
        const { events } = await ask(network, 40, 24, (event) => {
          if (event.type !== 'token') return;
          vary();
          // The whole volunteer stands still, its answers too.
          if (isPaused || event.position < position) return;
          isPaused = true;
          const paused = network.of(stage)[0]!.id;
          const untilMs = network.clock.nowMs() + 400;
          network.links.fate = (_, from, to) =>
            [from, to].includes(paused) ? [Math.max(1, untilMs - network.clock.nowMs())] : [1];
        });
        expect(only(events, 'rerouted')).toEqual([]);
        expect(network.routes).toHaveLength(1);
      }),
      { numRuns: repetitions(25, 400) },
    );
  });

  it('far away lose no place', async () => {
    const network = checkedNetwork([], 3);
    network.links.fate = () => [250];
    const { events } = await ask(network, 70, 24);
    expect(only(events, 'rerouted')).toEqual([]);
    expect(network.routes).toHaveLength(1);
  });

  it('lose no place by a requester that stood still', async () => {
    const network = checkedNetwork([], 3);
    const { events } = await ask(network, 40, 24, (event) => {
      if (event.type === 'token' && event.position % 5 === 0) network.clock.skip(700);
    });
    expect(only(events, 'rerouted')).toEqual([]);
  });
});

describe('shadows that only the relay could reach, and that it does not', () => {
  it('are left out before anybody waits for their links', async () => {
    const network = checkedNetwork([], 3);
    for (const volunteer of network.volunteers) volunteer.webrtc = false;
    const shadows = [0, 1, 2].map((stage) => network.of(stage)[1]!);
    for (const { id } of shadows) network.links.unreachable.add(id);
    const { events } = await ask(network, 40, 24);
    expect(network.clock.nowMs()).toBeLessThanOrEqual(3 * ALLOWED_MS);
    expect(only(events, 'fault')).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });
});

describe('volunteers that close every link at once', () => {
  it('are got over, however many there are, and the answer is checked', async () => {
    const network = checkedNetwork([], 6);
    for (const stage of [0, 1, 2]) for (const n of [0, 1, 2, 3]) network.links.kill(network.of(stage)[n]!.id);
    // The server knows nothing of it.
    const { route } = network;
    network.route = (requester, capacity, exclude = [], shadows = 0) => {
      const found = route.call(network, requester, capacity, [], shadows)!;
      const stages = found.stages.map((stage, i) => {
        const [primary, shadow] = network.of(i).filter(({ id }) => !exclude.includes(id));
        const [first, second] = [primary!, shadow!].map(({ id }) => ({ id, webrtc: true, numericClass: 'wasm' }));
        return { ...stage, primary: first!, shadows: [second!] };
      });
      return { ...found, stages };
    };
    const { events, saidMs } = await ask(network, 40, 8);
    expect(saidMs[0]).toBeLessThanOrEqual(ALLOWED_MS);
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
  });
});
