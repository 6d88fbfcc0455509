import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { Span } from '#shared/judge/statement.ts';
import { chunkEnd } from '#shared/rows/chunk.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { CheckDriver, toyPrompt } from '../../support/check-driver.ts';
import { ToyNetwork } from '../../support/toy-network.ts';

/** Rows sent, a cut back by so many positions, a span of at most so many, or a challenge; then so long a wait. */
type Step = (
  | { readonly feed: number }
  | { readonly back: number }
  | { readonly span: number }
  | { readonly isChallenge: true }
) & { readonly ms: number };

const ms = fc.constantFrom(0, 0, 0, 1, 5, 30, 80);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ feed: fc.integer({ min: 1, max: 20 }), ms }) },
  { weight: 2, arbitrary: fc.record({ back: fc.integer({ min: 1, max: 30 }), ms }) },
  { weight: 3, arbitrary: fc.record({ span: fc.integer({ min: 1, max: 32 }), ms }) },
  { weight: 2, arbitrary: fc.record({ isChallenge: fc.constant(true as const), ms }) },
);
/** For each message when it arrives; twice if it is doubled. */
const delays = fc.array(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 2 }), {
  minLength: 1,
  maxLength: 30,
});

/** A span that its requester still wants, as far as cuts have left it. */
interface Wanted {
  readonly span: Span;
  isChallenged: boolean;
  keptEnd: number;
}

/** A requester that goes on without waiting for anything but the commits that a challenge needs. */
class Play {
  readonly driver: CheckDriver;
  wanted: Wanted[] = [];
  readonly #network: ToyNetwork;
  #sent = 0;
  /** Where the next span begins. */
  #start = 0;

  constructor(network: ToyNetwork) {
    this.#network = network;
    this.driver = new CheckDriver(network);
  }

  async play(steps: readonly Step[]): Promise<void> {
    for (const next of steps) {
      if ('feed' in next) await this.#feed(next.feed);
      else if ('back' in next) await this.#cut(Math.max(0, this.#sent - next.back));
      else if ('span' in next) await this.#check(next.span);
      else await this.#challenge();
      await this.#network.clock.advance(next.ms);
    }
    await this.#network.clock.advance(3000);
  }

  /** Challenges all that is left. */
  async finish(): Promise<void> {
    for (const _ of this.wanted) await this.#challenge();
    await this.#network.clock.advance(1000);
  }

  async #tell(peers: readonly PeerId[], messages: readonly PeerMessage[]): Promise<void> {
    for (const peer of peers) await this.driver.say(peer, messages, 0);
  }

  async #feed(count: number): Promise<void> {
    if (this.#sent + count > this.driver.route.capacity) return;
    this.#sent += count;
    await this.#tell(this.driver.openers, this.driver.rows(toyPrompt(count)));
  }

  async #check(count: number): Promise<void> {
    if (this.#start >= this.#sent) return;
    const span = this.driver.span(this.#start, Math.min(this.#sent, chunkEnd(this.#start), this.#start + count));
    this.wanted.push({ span, isChallenged: false, keptEnd: span.end });
    this.#start = span.end;
    await this.#tell(this.driver.replicas, [{ type: 'check', ...span }]);
  }

  async #cut(position: number): Promise<void> {
    this.#sent = position;
    this.#start = Math.min(this.#start, position);
    this.wanted = this.wanted.filter((each) => {
      const { start, end } = each.span;
      if (end <= position) return true;
      each.keptEnd = Math.min(each.keptEnd, position);
      if (each.isChallenged && start < position) return true;
      this.#start = Math.min(this.#start, start);
      return false;
    });
    await this.#tell(this.driver.openers, [this.driver.cutMessage(position)]);
  }

  async #challenge(): Promise<void> {
    const { driver } = this;
    const next = this.wanted.find(({ isChallenged }) => !isChallenged);
    if (next === undefined || driver.replicas.some((peer) => !this.#hasCommitted(peer, next.span.index))) return;
    next.isChallenged = true;
    await this.#tell(driver.replicas, [await driver.challengeMessage(next.span)]);
  }

  #hasCommitted(peer: PeerId, index: number): boolean {
    return this.driver.commits(peer).some(({ statement }) => statement.index === index);
  }

  /** The words of a replica on a span, which is the same each time. */
  wordsOf(peer: PeerId, index: number) {
    const [commit, ...commits] = this.driver.commits(peer).filter(({ statement }) => statement.index === index);
    const [reveal, ...reveals] = this.driver.reveals(peer).filter(({ statement }) => statement.index === index);
    for (const again of commits) expect(again).toEqual(commit);
    for (const again of reveals) expect(again).toEqual(reveal);
    const { opening: _opening, shapes, ...chains } = commit!.statement;
    const { input, output } = reveal!.statement;
    return { shapes, rows: { chains, input, output } };
  }
}

describe('a session whose messages come in whatever order, some of them twice', () => {
  it('has primaries and shadows commit to the same, and reveal all of it', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 16 }), delays, async (steps, each) => {
        const network = new ToyNetwork(2);
        const play = new Play(network);
        const { driver } = play;
        await driver.open();
        await driver.audit();
        let message = 0;
        network.links.fate = () => each[message++ % each.length]!;
        await play.play(steps);
        expect(driver.allFaults).toEqual([]);
        await play.finish();
        expect(driver.allFaults).toEqual([]);
        for (const { span, keptEnd } of play.wanted) {
          const [primaries, shadows] = [driver.primaries, driver.shadows].map((peers) =>
            peers.map((peer) => play.wordsOf(peer, span.index)),
          );
          const rows = primaries!.map((words) => words.rows);
          expect(shadows!.map((words) => words.rows)).toEqual(rows);
          for (const [before, after] of [rows.slice(0, 2), rows.slice(1)]) {
            expect([after!.chains.inputTo, after!.input]).toEqual([before!.chains.outputTo, before!.output]);
          }
          if (keptEnd < span.end) continue;
          expect(rows[0]!.chains.inputTo).toEqual(driver.sent.at(span.end));
          for (const { shapes } of primaries!) expect(shapes).toEqual(driver.shapes.at(span.end));
        }
      }),
      { numRuns: 60 },
    );
  });
});
