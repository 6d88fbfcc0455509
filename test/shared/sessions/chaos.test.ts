import { expect, test } from 'vitest';
import { seeded } from '../../../scripts/mutants/draw.ts';
import { ChorusError } from '#shared/errors.ts';
import type { AnswerEvent } from '#shared/requester/answer-event.ts';
import { checkedNetwork, only, prompt, scaled, standing, wrongShown } from '../../support/checked-network.ts';
import { repetitions } from '../../support/effort.ts';
import { toyAnswer } from '../../support/toy-model.ts';
import type { ToyControl, ToyNetwork, ToyVolunteer } from '../../support/toy-network.ts';
import { failedChecks, receiptOf } from '../../support/toy-receipt.ts';
import { greedy } from '../../support/toy-stalls.ts';

const ANSWERS = 6;
/** Every wait has a limit; an answer that is rerouted as often as it may be has several. */
const HANGING_MS = 180_000;

/** Volunteers die, come back, stand still, slow down and lie, links break and the server goes away, until this is stopped. */
class Chaos {
  readonly #network: ToyNetwork;
  readonly #chance: () => number;
  readonly #server: ToyControl;
  /** The one that lies in each stage, so that two honest ones are always left. */
  readonly liars = new Map<number, string>();
  /** Until when messages from and to a volunteer wait. */
  readonly #stillUntilMs = new Map<string, number>();
  #isOver = false;

  constructor(network: ToyNetwork, chance: () => number, server: ToyControl) {
    [this.#network, this.#chance, this.#server] = [network, chance, server];
    network.links.fate = (_, from, to) => {
      const untilMs = Math.max(this.#stillUntilMs.get(from) ?? 0, this.#stillUntilMs.get(to) ?? 0);
      return [Math.max(1, untilMs - network.clock.nowMs())];
    };
    this.#next();
  }

  stop(): void {
    this.#isOver = true;
  }

  #next(): void {
    this.#network.clock.setTimer(
      () => {
        if (this.#isOver) return;
        this.#strike();
        this.#next();
      },
      20 + Math.floor(this.#chance() * 400),
    );
  }

  #strike(): void {
    const network = this.#network;
    const { volunteers, clock, links } = network;
    const later = (task: () => void): void => void clock.setTimer(task, 100 + Math.floor(this.#chance() * 4_000));
    const victim = volunteers[Math.floor(this.#chance() * volunteers.length)]!;
    switch (Math.floor(this.#chance() * 6)) {
      case 0:
        links.kill(victim.id);
        return later(() => network.reload(victim.id));
      case 1:
        this.#stillUntilMs.set(victim.id, clock.nowMs() + Math.floor(this.#chance() * 3_000));
        return;
      case 2:
        victim.compute.runMs = 100 + Math.floor(this.#chance() * 2_000);
        return later(() => (victim.compute.runMs = 2));
      case 3:
        return this.#corrupt(victim);
      case 4:
        links.peer(victim.id)?.cutTo(volunteers[Math.floor(this.#chance() * volunteers.length)]!.id);
        return;
      case 5:
        this.#server.become({ type: 'reconnecting', attempt: 1, delayMs: 1, reason: 'it was killed' });
        return later(() => this.#server.become({ type: 'open' }));
    }
  }

  #corrupt(victim: ToyVolunteer): void {
    if (victim.reserve !== null || (this.liars.get(victim.stage) ?? victim.id) !== victim.id) return;
    this.liars.set(victim.stage, victim.id);
    victim.compute.tamper = scaled(-1, 0);
  }
}

test.each(Array.from({ length: repetitions(10, 300) }, (_, seed) => seed))(
  'whatever happens, an answer that counts as checked is the honest one, and nothing hangs (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const chance = seeded(seed);
    const network = checkedNetwork(['arbiter', 'referee'], 5);
    const { requester, control } = network.requester();
    const chaos = new Chaos(network, chance, control);
    const conversation = requester.openConversation(network.model);
    for (let n = 0; n < ANSWERS; n++) {
      const [length, count] = [1 + Math.floor(chance() * 80), 1 + Math.floor(chance() * 60)];
      const truth = toyAnswer(prompt(length), count);
      const events: AnswerEvent[] = [];
      const abort = new AbortController();
      if (chance() < 0.2) network.clock.setTimer(() => abort.abort(), Math.floor(chance() * 500));
      const startedMs = network.clock.nowMs();
      const error: unknown = await network
        .ask(conversation, greedy(prompt(length), count), (event) => events.push(event), abort.signal)
        .then(
          () => null,
          (reason: unknown) => reason,
        );
      expect(network.clock.nowMs() - startedMs).toBeLessThan(HANGING_MS);
      if (error !== null) expect(error).toBeInstanceOf(ChorusError);
      expect(wrongShown(events, truth, length)).toEqual([]);
      for (const { volunteer, isProven } of only(events, 'fault'))
        if (isProven) expect([...chaos.liars.values()]).toContain(volunteer);
      const end = events.at(-1);
      if (end?.type !== 'end') continue;
      if (end.reason !== 'cancelled' && end.tier !== 'unchecked' && end.tier !== 'disputed')
        expect(standing(events, length)).toEqual(truth);
      if (end.evidence !== null) expect(failedChecks((await receiptOf(end.evidence)).verification)).toEqual([]);
    }
    chaos.stop();
    conversation.close();
    control.become({ type: 'open' });
    await network.clock.advance(60_000);
    expect(network.openSessions).toBe(0);
  },
);
