import type { Ask, Reply } from '#shared/ask.ts';
import type { Now } from '#shared/clock.ts';
import type {
  RequesterConfig,
  RequesterEffect,
  RequesterEvent,
  SignedRoute,
} from '#shared/requester/requester-event.ts';
import { LiveSession } from '#shared/requester/session/live-session.ts';
import { isEffect, type SessionNews, type SessionOut } from '#shared/requester/session/session-news.ts';
import type { Candidates } from '#shared/rows/logits-row.ts';
import { sampleToken } from '#shared/rows/sampler.ts';
import { GREEDY } from './toy-model.ts';

type Effects = (RequesterEffect | Ask<RequesterEffect>)[];

/**
 * A requester that drafts: it sends the tokens that `draft` guesses together with the last one that it has, wants the logits
 * of all of them, keeps the longest part that was guessed right, and cuts the rest. `close` has the replicas sign.
 */
export class DraftingEngine {
  readonly news: SessionNews[] = [];
  /** Prompt and answer so far. */
  readonly history: number[];
  readonly session: LiveSession;
  readonly #wished: number;
  readonly #draft: (history: readonly number[]) => readonly number[];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #effects: Effects = [];
  #sent: number[] = [];
  /** Of what was sent, by position. */
  readonly #candidates = new Map<number, Candidates>();

  constructor(
    config: RequesterConfig,
    signed: SignedRoute,
    now: Now,
    prompt: readonly number[],
    wished: number,
    draft: (history: readonly number[]) => readonly number[],
  ) {
    this.history = [...prompt];
    this.#wished = prompt.length + wished;
    this.#draft = draft;
    this.session = new LiveSession(config, signed, () => 0, now);
  }

  get deadlineMs(): number {
    return this.session.deadlineMs;
  }

  handle(event: RequesterEvent, now: Now): Effects {
    return this.#act(now, () => {
      if (event.type === 'start') this.#take(this.session.connect());
      else if (event.type === 'close') this.#take(this.session.record(new Uint8Array(32).fill(7), now));
      else this.#take(this.session.handle(event, now));
    });
  }

  #act(now: Now, act: () => void): Effects {
    this.#now = now;
    this.#effects = [];
    act();
    return this.#effects;
  }

  #take(out: readonly SessionOut[]): void {
    for (const each of out) {
      if (each.type === 'ask') {
        const hear = (reply: Reply): void => this.#take(this.session.hear(() => each.then(reply), this.#now));
        this.#effects.push({ type: 'ask', what: each.what, then: (reply, now) => this.#act(now, () => hear(reply)) });
      } else if (isEffect(each)) this.#effects.push(each);
      else this.#hear(each);
    }
  }

  #hear(news: SessionNews): void {
    this.news.push(news);
    if (news.type === 'opened') this.#send();
    if (news.type !== 'lap' || news.lap === null) return;
    const { candidates, end } = news.lap;
    candidates.forEach((each, i) => this.#candidates.set(end - candidates.length + i, each));
    const isWhole = this.#sent.every((_, i) => i < this.history.length - 1 || this.#candidates.has(i));
    if (isWhole) this.#keep();
  }

  #send(): void {
    const { session, history } = this;
    const known = history.length - 1;
    this.#take(session.align(history, this.#now));
    this.#sent = [...history, ...this.#draft(history)];
    this.#candidates.clear();
    this.#take(session.feed(this.#sent, this.#now, known));
  }

  /** Draws a token from each row, for as long as it is the one that was guessed. */
  #keep(): void {
    for (let isRight = true; isRight && this.#candidates.has(this.history.length - 1);) {
      const position = this.history.length;
      const { token } = sampleToken(this.#candidates.get(position - 1)!, GREEDY, position);
      this.session.drew(token, position, GREEDY);
      this.history.push(token);
      isRight = this.#sent[position] === token;
    }
    if (this.history.length < this.#wished) return this.#send();
    this.#take(this.session.align(this.history, this.#now));
    this.#take(this.session.closeSpan(this.#now));
  }
}
