import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SessionId } from '#shared/ids.ts';
import type { Span } from '#shared/judge/statement.ts';
import { SpanOrder } from '#shared/replica/span-order.ts';
import { codeOf } from '../../support/code-of.ts';

const session = '0'.repeat(32) as SessionId;
const span = (index: number, start: number, end: number, epoch = 0): Span => ({ session, epoch, index, start, end });

function takeAll(order: SpanOrder): number[] {
  const taken: number[] = [];
  for (let next = order.take(); next !== null; next = order.take()) taken.push(next.index);
  return taken;
}

/** Takes in these, and gives out what is in order after each. */
function hold(order: SpanOrder, ...spans: readonly Span[]): number[][] {
  return spans.map((each) => {
    if (order.isWanted(each)) order.hold(each);
    return takeAll(order);
  });
}

describe('SpanOrder', () => {
  it('gives spans out end to end, each once', () => {
    const spans = [span(1, 0, 4), span(2, 4, 6), span(3, 6, 9)];
    const order = new SpanOrder(false);
    expect(hold(order, spans[2]!, spans[0]!, spans[0]!, spans[2]!, spans[1]!, spans[1]!)).toEqual([
      [],
      [1],
      [],
      [],
      [2, 3],
      [],
    ]);
    expect(order.nextFrom).toBe(9);
  });

  it('keeps a check for its epoch', () => {
    const order = new SpanOrder(false);
    expect(hold(order, span(1, 0, 4), span(2, 4, 6, 1))).toEqual([[1], []]);
    order.cut(1, 5);
    expect(takeAll(order)).toEqual([2]);
  });

  it('goes on where the first span began that a cut made void', () => {
    const order = new SpanOrder(false);
    hold(order, span(1, 0, 4), span(2, 4, 8), span(3, 8, 12));
    order.cut(1, 6);
    expect(order.nextFrom).toBe(4);
    expect(order.isPlaced(3)).toBe(false);
    expect(hold(order, span(4, 4, 7, 1))).toEqual([[4]]);
    expect([1, 2, 3, 4].map((index) => order.isPlaced(index))).toEqual([true, false, false, true]);
  });

  it('goes on where the cut was if the span that it went into was challenged before, whenever that is heard', () => {
    for (const isHeardFirst of [true, false]) {
      const order = new SpanOrder(false);
      hold(order, span(1, 0, 4), span(2, 4, 8));
      if (isHeardFirst) order.challenged(2);
      order.cut(1, 6);
      // With number 3 left out, this could be the second one of after the cut.
      expect(hold(order, span(4, 6, 9, 1))).toEqual(isHeardFirst ? [[4]] : [[]]);
      if (!isHeardFirst) order.challenged(2);
      expect(takeAll(order)).toEqual(isHeardFirst ? [] : [4]);
      expect([order.isPlaced(2), order.nextFrom]).toEqual([true, 9]);
    }
  });

  it('does not take what follows a span for it where both begin anew after a cut', () => {
    const order = new SpanOrder(false);
    hold(order, span(1, 0, 8));
    order.cut(1, 6);
    expect(hold(order, span(3, 6, 9, 1), span(2, 0, 6, 1))).toEqual([[], [2, 3]]);
  });

  it('passes no span over for one of after a second cut', () => {
    const order = new SpanOrder(false);
    hold(order, span(1, 0, 30));
    order.cut(1, 10);
    order.cut(2, 15);
    expect(hold(order, span(4, 10, 15, 2), span(3, 10, 20, 1), span(2, 0, 10, 1))).toEqual([[], [], [2, 4]]);
  });

  it('has its first span begin anywhere where it may', () => {
    expect(hold(new SpanOrder(true), span(1, 33, 40), span(2, 40, 42))).toEqual([[1], [2]]);
  });

  it.each([
    ['after a hole', span(2, 5, 6)],
    ['within the last one', span(2, 3, 6)],
    ['before the last one, with a number left out', span(3, 0, 6)],
  ])('refuses a span %s', (_, wrong) => {
    const order = new SpanOrder(false);
    hold(order, span(1, 0, 4));
    expect(codeOf(() => hold(order, wrong))).toBe('bad-message');
  });

  it('refuses a span of an epoch before that of the last one', () => {
    const order = new SpanOrder(false);
    order.cut(1, 10);
    hold(order, span(1, 0, 4, 1));
    expect(codeOf(() => hold(order, span(2, 4, 6)))).toBe('bad-message');
  });

  it('brings every order of arrival to the same end, whatever is cut and challenged', () => {
    const action = fc.oneof(
      fc.record({ feed: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ back: fc.integer({ min: 1, max: 8 }) }),
      fc.record({ close: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ challenge: fc.constant(true) }),
    );
    /** For each message, how many of the following are ahead of it. */
    const lateness = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 30 }), lateness, fc.array(fc.boolean()), (actions, late, lost) => {
        const replica = new LateReplica(late);
        let [epoch, sent, start, index] = [0, 0, 0, 0];
        let open: { readonly span: Span; isChallenged: boolean; keptEnd: number }[] = [];
        for (const each of actions) {
          if ('feed' in each) sent += each.feed;
          else if ('close' in each && start < sent) {
            const closed = span(++index, start, Math.min(sent, start + each.close), epoch);
            open.push({ span: closed, isChallenged: false, keptEnd: closed.end });
            start = closed.end;
            replica.send({ type: 'check', span: closed });
          } else if ('back' in each) {
            const position = Math.max(0, sent - each.back);
            sent = position;
            start = Math.min(start, position);
            open = open.filter((one) => {
              if (one.span.end <= position) return true;
              one.keptEnd = Math.min(one.keptEnd, position);
              if (one.isChallenged && one.span.start < position) return true;
              // One that is void may not have been asked for yet, and never is then.
              if (lost[one.span.index] === true) replica.unsend(one.span.index);
              start = Math.min(start, one.span.start);
              return false;
            });
            replica.send({ type: 'cut', epoch: ++epoch, position });
          } else if ('challenge' in each) {
            const next = open.find(({ isChallenged }) => !isChallenged);
            if (next === undefined || !replica.taken.includes(next.span.index)) continue;
            next.isChallenged = true;
            replica.send({ type: 'challenge', index: next.span.index });
          }
        }
        replica.hearAll();
        const wanted = open.map((one) => one.span.index);
        expect(replica.taken.filter((one) => wanted.includes(one))).toEqual(wanted);
        expect(replica.taken).toEqual([...new Set(replica.taken)].sort((a, b) => a - b));
        expect([replica.order.nextFrom, replica.order.waiting]).toEqual([start, 0]);
        for (const one of wanted) expect(replica.order.isPlaced(one)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

type Message =
  | { readonly type: 'check'; readonly span: Span }
  | { readonly type: 'cut'; readonly epoch: number; readonly position: number }
  | { readonly type: 'challenge'; readonly index: number };

/** A replica that hears each message after so many of the next ones; cuts among themselves in order, as `RowOrder` has them. */
class LateReplica {
  readonly order = new SpanOrder(false);
  readonly taken: number[] = [];
  readonly #late: readonly number[];
  #waiting: { readonly message: Message; readonly at: number }[] = [];
  #sent = 0;
  readonly #cuts = new Map<number, number>();
  #epoch = 0;

  constructor(late: readonly number[]) {
    this.#late = late;
  }

  send(message: Message): void {
    this.#waiting.push({ message, at: this.#sent + this.#late[this.#sent % this.#late.length]! });
    this.#sent += 1;
    this.#hear((at) => at <= this.#sent);
  }

  unsend(index: number): void {
    this.#waiting = this.#waiting.filter(({ message }) => message.type !== 'check' || message.span.index !== index);
  }

  hearAll(): void {
    this.#hear(() => true);
  }

  #hear(isDue: (at: number) => boolean): void {
    const due = this.#waiting.filter(({ at }) => isDue(at)).sort((a, b) => a.at - b.at);
    this.#waiting = this.#waiting.filter((each) => !due.includes(each));
    for (const { message } of due) this.#take(message);
  }

  #take(message: Message): void {
    if (message.type === 'cut') this.#cuts.set(message.epoch, message.position);
    else if (message.type === 'challenge') this.order.challenged(message.index);
    else if (this.order.isWanted(message.span)) this.order.hold(message.span);
    this.taken.push(...takeAll(this.order));
    for (let next = this.#cuts.get(this.#epoch + 1); next !== undefined; next = this.#cuts.get(this.#epoch + 1)) {
      this.order.cut(++this.#epoch, next);
      this.taken.push(...takeAll(this.order));
    }
  }
}
