import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Span } from '#shared/check/statement.ts';
import { chunkEnd } from '#shared/session/rows-message.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { CheckDriver, toyPrompt } from '../../support/check-driver.ts';
import { ToyNetwork } from '../../support/toy-network.ts';

/** Rows sent, a cut back by so many positions, or a span of at most so many positions; then so long a wait. */
type Step = ({ readonly feed: number } | { readonly back: number } | { readonly span: number }) & {
  readonly ms: number;
};

const ms = fc.constantFrom(0, 0, 1, 5, 30);
const feed = { weight: 3, arbitrary: fc.record({ feed: fc.integer({ min: 1, max: 20 }), ms }) };
const back = { weight: 1, arbitrary: fc.record({ back: fc.integer({ min: 1, max: 30 }), ms }) };
const span = { weight: 3, arbitrary: fc.record({ span: fc.integer({ min: 1, max: 32 }), ms }) };
const step: fc.Arbitrary<Step> = fc.oneof(feed, back, span);
const stepForward: fc.Arbitrary<Step> = fc.oneof(feed, span);

/**
 * Plays the steps over links that delay every message as `delays` say, and returns the spans no cut went into. Links keep
 * their order, as real ones do; with `isShuffled` not even that.
 */
async function play(
  driver: CheckDriver,
  network: ToyNetwork,
  steps: readonly Step[],
  { delays, isShuffled }: { readonly delays: readonly number[]; readonly isShuffled: boolean },
) {
  await driver.open();
  await driver.audit();
  let message = 0;
  const arrivals = new Map<string, number>();
  network.links.fate = (_message, from, to) => {
    const nowMs = network.clock.nowMs();
    const delayMs = delays[message++ % delays.length]!;
    if (isShuffled) return [delayMs];
    const arrivalMs = Math.max(nowMs + delayMs, arrivals.get(`${from} ${to}`) ?? 0);
    arrivals.set(`${from} ${to}`, arrivalMs);
    return [arrivalMs - nowMs];
  };
  let [sent, closed] = [0, 0];
  let spans: Span[] = [];
  const tell = async (peers: readonly string[], messages: readonly PeerMessage[]) => {
    for (const peer of driver.replicas) if (peers.includes(peer)) await driver.say(peer, messages, 0);
  };
  for (const next of steps) {
    if ('feed' in next && sent + next.feed <= driver.route.capacity) {
      await tell(driver.openers, driver.rows(toyPrompt(next.feed)));
      sent += next.feed;
    } else if ('back' in next) {
      const position = Math.max(0, sent - next.back);
      await tell(driver.openers, [driver.cutMessage(position)]);
      const gone = spans.filter(({ end }) => end > position);
      spans = spans.filter(({ end }) => end <= position);
      closed = Math.min(closed, position, ...gone.map(({ start }) => start));
      sent = position;
    } else if ('span' in next && closed < sent) {
      const span = driver.span(closed, Math.min(sent, chunkEnd(closed), closed + next.span));
      spans.push(span);
      closed = span.end;
      await tell(driver.replicas, [{ type: 'check', ...span }]);
    }
    await network.clock.advance(next.ms);
  }
  await network.clock.advance(3000);
  return spans;
}

describe('a session whose links are as slow as they like', () => {
  it.each([
    { name: 'with cuts', steps: fc.array(step, { maxLength: 14 }), isShuffled: false },
    // What overtakes a cut may be taken for what follows it, so only sessions without one bear any order.
    { name: 'in whatever order, without cuts', steps: fc.array(stepForward, { maxLength: 14 }), isShuffled: true },
  ])(
    'has primaries and shadows commit to the same, and reveal all of it, $name',
    { timeout: 120_000 },
    async (session) => {
      const delays = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 });
      await fc.assert(
        fc.asyncProperty(session.steps, delays, async (steps, each) => {
          const network = new ToyNetwork(2);
          const driver = new CheckDriver(network);
          const spans = await play(driver, network, steps, { delays: each, isShuffled: session.isShuffled });
          expect(driver.allFaults).toEqual([]);
          for (const span of spans) await driver.challenge(span);
          await network.clock.advance(1000);
          for (const { index, end } of spans) {
            const [primaries, shadows] = [driver.primaries, driver.shadows].map((peers) =>
              peers.map((peer) => {
                const commits = driver.commits(peer).filter(({ statement }) => statement.index === index);
                expect(commits).toHaveLength(1);
                const { shapes: _shapes, opening: _opening, ...chains } = commits[0]!.statement;
                return chains;
              }),
            );
            expect(shadows).toEqual(primaries);
            expect(primaries![1]!.inputTo).toEqual(primaries![0]!.outputTo);
            expect(primaries![2]!.inputTo).toEqual(primaries![1]!.outputTo);
            // A later cut may have changed what the requester has now; the last span is of now.
            if (index !== spans.at(-1)!.index) continue;
            expect(primaries![0]!.inputTo).toEqual(driver.sent.at(end));
            for (const peer of driver.primaries) {
              const commit = driver.commits(peer).find(({ statement }) => statement.index === index)!;
              expect(commit.statement.shapes).toEqual(driver.shapes.at(end));
            }
          }
          expect(driver.allFaults).toEqual([]);
          const revealed = driver.replicas.map((peer) => driver.reveals(peer).map(({ statement }) => statement.index));
          for (const indices of revealed)
            expect(indices.sort((a, b) => a - b)).toEqual(spans.map(({ index }) => index));
        }),
        { numRuns: 60 },
      );
    },
  );
});
