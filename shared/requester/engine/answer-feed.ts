import type { Now } from '../../clock.ts';
import { sampleToken, type Sample } from '../../rows/sampler.ts';
import type { HopTiming } from '../../wire/peer-message.ts';
import type { AnswerEvent } from '../answer-event.ts';
import type { TokenRedraw } from '../audit/span-audit.ts';
import type { Lap } from '../feed/returns.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { SessionOut } from '../session/session-news.ts';
import type { Answer, Closing } from './answer.ts';
import { DrawnAgain } from './drawn-again.ts';
import type { SigningAgain } from './signing-again.ts';

/** What a session is fed with. */
export interface FeedHost {
  now(): Now;
  readonly endTokens: readonly number[];
  answer(): Answer | null;
  signing(): SigningAgain;
  isCurrent(session: LiveSession): boolean;
  emit(event: AnswerEvent): void;
  perform(session: LiveSession, out: readonly SessionOut[]): void;
  /** Nothing more is fed. */
  close(session: LiveSession, answer: Answer, closing: Closing): void;
  giveUpSigning(): void;
}

/**
 * Feeds a session with what it lacks of the answer, draws the answer's tokens from the logits of its laps, and takes those
 * that another replica drew.
 */
export class AnswerFeed {
  readonly #host: FeedHost;
  readonly #again = new DrawnAgain();
  #isAlignDue = false;

  constructor(host: FeedHost) {
    this.#host = host;
  }

  /** True while the session is not cut back to the answer's history yet: a settlement still needs what it holds. */
  get isAlignDue(): boolean {
    return this.#isAlignDue;
  }

  /** The answer is over. */
  forget(): void {
    this.#isAlignDue = false;
  }

  /** Cuts the session back to what it shares with the history, then sends the rest. */
  align(session: LiveSession): void {
    const host = this.#host;
    const answer = host.answer();
    this.#isAlignDue = answer !== null && session.isSettling;
    if (answer === null || this.#isAlignDue) return;
    // What the session gave for tokens that are to be drawn again is worth nothing.
    this.#again.forget();
    host.perform(session, session.align(answer.history, host.now()));
    this.send(session);
  }

  /** Sends what there is room for. */
  send(session: LiveSession): void {
    const host = this.#host;
    const [answer, signing] = [host.answer(), host.signing()];
    if (signing.isRunning) return host.perform(session, session.feed(signing.rows, host.now()));
    if (!host.isCurrent(session) || answer === null || answer.closing !== null || session.isHalted) return;
    if (this.#isAlignDue) return this.align(session);
    host.perform(session, session.feed(answer.history, host.now(), answer.drawnEnd - 1));
  }

  /** Takes a lap; null for one that is of no use but that there is room for more. */
  take(session: LiveSession, lap: Lap | null, hops: readonly HopTiming[]): void {
    const host = this.#host;
    const answer = host.answer();
    if (lap === null || answer === null || this.#isAlignDue) return this.send(session);
    if (host.signing().isRunning) return host.perform(session, session.closeSpan(host.now()));
    const { prompt, lapMs } = lap;
    if (prompt !== null) host.emit({ type: 'prompt', ...prompt });
    const candidates = this.#again.take(session, answer, lap);
    const position = answer.history.length;
    if (candidates === 'waiting') return this.send(session);
    if (candidates === 'differs') {
      const reason = 'other volunteers draw another token';
      host.emit({ type: 'rerouted', reason, volunteer: null, from: position });
      return this.align(session);
    }
    const sample = sampleToken(candidates, answer.sampling, position);
    session.drew(sample.token, position, answer.sampling);
    this.#goOn(session, answer, sample, { lapMs, hops });
  }

  /** Takes another replica's draw in place of the primary's, and back what came after it. */
  redraw(session: LiveSession, redraw: TokenRedraw): void {
    const host = this.#host;
    const answer = host.answer();
    if (host.signing().isRunning) return host.giveUpSigning();
    // Of an answer that is over the token stays as its prompt has it; the session is cut, for its check waits for that.
    if (answer === null || this.#isAlignDue) return host.perform(session, session.redraw(redraw, null, host.now()));
    const { stage, by: volunteer, position: from } = redraw;
    answer.takeBack(from);
    host.emit({ type: 'redrawn', stage, volunteer, from });
    host.perform(session, session.redraw(redraw, answer.sampling, host.now()));
    this.#goOn(session, answer, redraw, null);
  }

  /** Goes on with the token for the end of the history, or ends with it; it came with a lap, or with another's check. */
  #goOn(
    session: LiveSession,
    answer: Answer,
    { token, logprob }: Sample,
    lap: { readonly lapMs: number; readonly hops: readonly HopTiming[] } | null,
  ): void {
    const host = this.#host;
    if (host.endTokens.includes(token)) return host.close(session, answer, 'stop');
    const position = answer.history.length;
    if (lap !== null) session.count(lap.lapMs);
    const whole = answer.push(token);
    host.emit({ type: 'token', token, logprob, position, lapMs: lap?.lapMs ?? 0, hops: lap?.hops ?? [] });
    const closing = whole ?? (session.isEnding(host.now().nowMs) ? 'renew' : null);
    if (closing === null) this.send(session);
    else host.close(session, answer, closing);
  }
}
