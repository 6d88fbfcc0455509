import type { Reply } from '../../ask.ts';
import type { Now } from '../../clock.ts';
import { ChorusError, toChorusError } from '../../errors.ts';
import type { SpanCheck } from '../../judge/finding.ts';
import type { Evidence } from '../../receipt/evidence/evidence.ts';
import type { AnswerEvent, GenerateRequest } from '../answer-event.ts';
import type { Release, RequesterConfig, RequesterEffects, RequesterEvent, SignedRoute } from '../requester-event.ts';
import { releaseMessage, releaseOfReplay } from '../route-release.ts';
import { LiveSession } from '../session/live-session.ts';
import { isEffect, type SessionNews, type SessionOut, type Stall } from '../session/session-news.ts';
import { Answer, END_TIMEOUT_MS, type Closing } from './answer.ts';
import { AnswerFeed } from './answer-feed.ts';
import { EvidenceDraft } from './evidence-draft.ts';
import { FaultReports } from './fault-reports.ts';
import { isBarer, isBetter, replacementFor, reroutedBy, Replacements, type Replacement } from './replacement.ts';
import { RouteSearch, unusable, type SearchStep } from './route-search.ts';
import { lossOfBare, lossOfBroken, Tellers, type SessionLoss } from './session-loss.ts';
import { SigningAgain } from './signing-again.ts';

/**
 * One conversation as a state machine: `handle` takes an event and says what to do. It keeps the tokens its session
 * holds, cuts these back to what a new prompt shares with them, sends the rest in chunks, then samples a token each lap.
 * An answer ends once all its rows have their verdict. If a volunteer fails, it asks for a route without that one and
 * replays the tokens: those up to the last verdict, and where the volunteer is only lost, those after it too, which are
 * drawn again there. While a volunteer stalls, the session is kept until there is a route to take its place.
 */
export class RequesterEngine {
  readonly #config: RequesterConfig;
  readonly #search: RouteSearch;
  readonly #reports = new FaultReports({
    nextTicket: () => ++this.#lastTicket,
    push: (effect) => this.#effects.push(effect),
    emit: (event) => this.#emit(event),
  });
  readonly #tellers = new Tellers();
  #effects: RequesterEffects = [];
  #now: Now = { nowMs: 0, wallMs: 0 };
  #answer: Answer | null = null;
  readonly #replacements: Replacements;
  readonly #feed: AnswerFeed;
  #session: LiveSession | null = null;
  /** When a complete answer waits no longer for verdicts. */
  #endByMs = Infinity;
  #lastTicket = 0;
  /** The evidence of a complete answer, while its replicas' records come in. */
  #draft: EvidenceDraft | null = null;
  #signing = new SigningAgain();

  constructor(config: RequesterConfig) {
    this.#config = config;
    this.#search = new RouteSearch(config.self);
    this.#replacements = new Replacements(config.shadows > 0);
    this.#feed = new AnswerFeed({
      endTokens: config.manifest.config.endTokens,
      now: () => this.#now,
      answer: () => this.#answer,
      signing: () => this.#signing,
      isCurrent: (session) => this.#session === session,
      emit: (event) => this.#emit(event),
      perform: (session, out) => this.#perform(session, out),
      close: (session, answer, closing) => this.#closeWith(session, answer, closing),
      giveUpSigning: () => this.#giveUpSigning(),
    });
  }

  /** When a `time` event is due, on the clock of `nowMs`; Infinity with nothing to wait for. */
  get deadlineMs(): number {
    const waits = [this.#search, this.#reports, this.#session, this.#signing, this.#replacements];
    return Math.min(this.#isEnding ? this.#endByMs : Infinity, ...waits.map((each) => each?.deadlineMs ?? Infinity));
  }

  /** True if a complete answer waits for nothing but its last verdicts; every other wait has a limit of its own. */
  get #isEnding(): boolean {
    const closing = this.#answer?.closing ?? null;
    if (closing === null || this.#session?.isSettling === true || this.#signing.isOpen) return false;
    return closing === 'renew' || (!this.#reports.isWaiting && this.#draft?.isOpen !== true);
  }

  handle(event: RequesterEvent, now: Now): RequesterEffects {
    return this.#act(now, () => this.#dispatch(event));
  }

  #act(now: Now, act: () => void): RequesterEffects {
    this.#now = now;
    this.#effects = [];
    act();
    return this.#effects;
  }

  #dispatch(event: RequesterEvent): void {
    const { nowMs } = this.#now;
    switch (event.type) {
      case 'start':
        return this.#start(event.request);
      case 'cancel':
        return this.#cancel();
      case 'close':
        return this.#close(event.isAbandoned === true ? 'cancelled' : 'done');
      case 'queued':
        if (this.#search.isOn) this.#search.wait(nowMs);
        // An answer that goes on does not wait.
        if (!this.#search.isOn || this.#replacements.sought !== null) return;
        return this.#emit({ type: 'queued', position: event.position });
      case 'routed':
        return this.#onRouted(event);
      case 'refused':
        if (this.#replacements.sought !== null) this.#bear(this.#replacements.sought);
        else if (this.#search.isOn) this.#take(this.#search.refused(event.error, nowMs));
        return;
      case 'server-back':
        if (this.#search.isOn) this.#requestRoute(this.#replacements.sought?.session);
        return;
      case 'reported':
        this.#reports.reported(event.ticket, event.isAccepted);
        return this.#endIfWhole();
      case 'time':
        return this.#onTime();
      default:
        return this.#toSession(event);
    }
  }

  #start(request: GenerateRequest): void {
    if (this.#answer !== null) return;
    try {
      this.#answer = new Answer(request, this.#config.manifest.config.maxPositions, this.#now.wallMs);
    } catch (error) {
      return this.#fail(toChorusError(error));
    }
    const [answer, session] = [this.#answer, this.#session];
    if (session === null) return this.#requestRoute();
    const isLong = session.route.capacity >= answer.neededPositions && !session.isEnding(this.#now.nowMs);
    if (isLong && !session.hasLostCheck) this.#feed.align(session);
    else this.#renew(session, answer);
  }

  /** Asks for a route, which takes the place of that of `before`. */
  #requestRoute(before?: LiveSession): void {
    this.#take(this.#search.start(this.#now.nowMs), before);
  }

  #take(step: SearchStep, before?: LiveSession): void {
    if (step.type === 'fail') return this.#fail(step.error);
    const [capacity, after] = [this.#answer?.capacity ?? 1, before?.route.session ?? null];
    this.#effects.push({ type: 'request-route', capacity, exclude: step.exclude, after });
  }

  #onRouted(signed: SignedRoute): void {
    if (!this.#search.stop()) return;
    const replacements = this.#replacements;
    const { sought } = replacements;
    const error = unusable(signed.route, this.#config, this.#answer?.neededPositions ?? 0);
    if (error !== null) return sought === null ? this.#fail(error) : this.#bear(sought);
    if (sought !== null && !this.#replace(sought, signed)) return;
    if (sought === null && replacements.isBare(signed.route) && this.#search.forgiveFormer()) {
      this.#effects.push({ type: 'release', release: releaseMessage(signed.route.session, 'cancelled') });
      return this.#requestRoute();
    }
    replacements.follow(signed.route);
    const session = new LiveSession(this.#config, signed, () => ++this.#lastTicket, this.#now, replacements.patience);
    this.#session = session;
    this.#perform(session, session.connect());
  }

  #toSession(event: RequesterEvent): void {
    const session = this.#session;
    if (session !== null) return this.#perform(session, session.handle(event, this.#now));
    if (event.type === 'replay-routed') this.#effects.push(releaseOfReplay(event.route.session, 'cancelled'));
  }

  #onTime(): void {
    const { nowMs } = this.#now;
    if (nowMs >= this.#search.deadlineMs) {
      this.#effects.push({ type: 'abandon-route' });
      const step = this.#search.timedOut();
      const { sought } = this.#replacements;
      if (sought !== null) this.#bear(sought);
      else this.#take(step);
    }
    this.#reports.expire(nowMs);
    if (nowMs >= this.#signing.deadlineMs) this.#giveUpSigning();
    const { sought, deadlineMs } = this.#replacements;
    if (sought !== null && nowMs >= deadlineMs) this.#bear(sought);
    if (nowMs >= (this.#session?.deadlineMs ?? Infinity)) this.#toSession({ type: 'time' });
    this.#endIfWhole();
  }

  /** Performs a session's effects, and turns its news into their meaning for the answer. */
  #perform(session: LiveSession, out: readonly SessionOut[]): void {
    for (const each of out) {
      const isCurrent = this.#session === session;
      if (each.type === 'ask') this.#ask(session, each);
      else if (each.type === 'fault') this.#reports.report(each.fault, this.#answer !== null, this.#now.nowMs);
      else if (isEffect(each)) {
        if (isCurrent || each.type !== 'connect') this.#effects.push(each);
      } else if (isCurrent) this.#onNews(session, each);
    }
  }

  /** A session that is gone hears no reply. */
  #ask(session: LiveSession, { what, then }: Extract<SessionOut, { type: 'ask' }>): void {
    const hear = (reply: Reply): void => {
      if (this.#session === session)
        this.#perform(
          session,
          session.hear(() => then(reply), this.#now),
        );
    };
    this.#effects.push({ type: 'ask', what, then: (reply, now) => this.#act(now, () => hear(reply)) });
  }

  #closeWith(session: LiveSession, answer: Answer, closing: Closing): void {
    answer.close(closing, session.length);
    this.#endByMs = this.#now.nowMs + END_TIMEOUT_MS;
    this.#perform(session, session.closeSpan(this.#now));
    this.#endIfWhole();
  }

  /** Ends an answer that has all its tokens, once it has all its verdicts and its replicas' records. */
  #endIfWhole(): void {
    const [answer, session] = [this.#answer, this.#session];
    if (answer === null || answer.closing === null) return;
    if (session !== null && this.#replacements.isDue(answer.closedAt)) return this.#checkAgain(session);
    const mayRecord = this.#signing.isOpen ? this.#signing.isChecked : answer.isWhole;
    if (answer.closing !== 'renew' && mayRecord && session !== null) this.#record(session, answer);
    if (!this.#isEnding) return;
    if (!answer.isWhole && this.#now.nowMs < this.#endByMs) return;
    const evidence = this.#draft?.finish(answer, this.#now.wallMs) ?? null;
    if (session !== null && evidence !== null && this.#signAgain(session, evidence)) return;
    if (answer.closing !== 'renew')
      this.#finish(answer, answer.closing, answer.isWhole, this.#signing.better(evidence));
    else if (session !== null) this.#renew(session, answer);
  }

  /** Looks once more, with the answer complete, for a route on which all of it is checked. */
  #checkAgain(session: LiveSession): void {
    this.#endByMs = this.#now.nowMs + END_TIMEOUT_MS;
    const again = this.#replacements.again(session, this.#now.nowMs);
    if (this.#search.forgiveAll()) this.#seek(again);
    else this.#stay(session);
  }

  /** Has the replicas sign what they did, once. */
  #record(session: LiveSession, answer: Answer): void {
    if (this.#draft !== null) return;
    this.#draft = new EvidenceDraft(session, answer, session.recordSalt);
    this.#perform(session, session.record(this.#draft.salt, this.#now));
  }

  /** Looks for others to sign a complete answer where a record that its verdict rests on is withheld; false where that is over. */
  #signAgain(session: LiveSession, evidence: Evidence): boolean {
    const sought = this.#replacements.isSpent ? null : this.#signing.seek(session, evidence, this.#now.nowMs);
    if (sought === null) return false;
    this.#search.doubt(sought.blamed);
    this.#seek(sought);
    return true;
  }

  #giveUpSigning(): void {
    const [session, { sought }, isRunning] = [this.#session, this.#replacements, this.#signing.isRunning];
    this.#signing.end();
    if (isRunning && session !== null) this.#drop(session, 'cancelled');
    if (sought !== null) this.#bear(sought);
    else this.#endIfWhole();
  }

  #finish(answer: Answer, reason: 'stop' | 'length' | 'cancelled', isWhole: boolean, evidence: Evidence | null): void {
    this.#forgetAnswer();
    if (this.#session !== null) this.#perform(this.#session, this.#session.rest(this.#now));
    this.#emit(answer.end(reason, isWhole, evidence));
  }

  #forgetAnswer(): void {
    this.#stopReplacing();
    this.#replacements.forget();
    this.#search.forgetAnswer();
    this.#draft = null;
    this.#signing = new SigningAgain();
    this.#answer = null;
    this.#feed.forget();
  }

  #cancel(): void {
    const answer = this.#answer;
    if (answer === null) return;
    this.#stopRouting();
    this.#reports.expire(Infinity);
    if (this.#session?.isOpen === false) this.#drop(this.#session, 'cancelled');
    const session = this.#session;
    this.#finish(answer, 'cancelled', session !== null && answer.verdictEnd >= session.length, null);
    if (session !== null) this.#perform(session, session.closeSpan(this.#now));
  }

  #close(outcome: Release['outcome']): void {
    this.#cancel();
    this.#stopRouting();
    if (this.#session !== null) this.#drop(this.#session, outcome);
  }

  #stopRouting(): void {
    if (this.#search.stop()) this.#effects.push({ type: 'abandon-route' });
  }

  #onNews(session: LiveSession, news: Exclude<SessionNews, { type: 'fault' }>): void {
    const isOfCheck = !['opened', 'lap', 'lost', 'stalled'].includes(news.type);
    if (isOfCheck && (this.#answer?.closing ?? null) !== null) this.#endByMs = this.#now.nowMs + END_TIMEOUT_MS;
    switch (news.type) {
      case 'opened':
        this.#effects.push({ type: 'announce', route: session.route });
        return this.#feed.align(session);
      case 'lap':
        return this.#feed.take(session, news.lap, news.hops);
      case 'lost':
        return this.#reroute(session, this.#tellers.lossOf(news));
      case 'stalled':
        return this.#onStalled(session, news);
      case 'checked':
        // Until the session is cut back, its verdicts are on the tokens of the answer before.
        if (!this.#feed.isAlignDue) this.#accept(news.check);
        if (this.#signing.isRunning) this.#signing.checked(news.check.end);
        return this.#endIfWhole();
      case 'redrawn':
        return this.#feed.redraw(session, news.redraw);
      case 'settling':
        return this.#emit(news);
      case 'settled':
        this.#endIfWhole();
        return this.#feed.send(session);
      case 'recorded':
        if (this.#signing.isRunning) this.#signing.end();
        return this.#endIfWhole();
      case 'bare':
        return this.#onBare(session, news);
      case 'doubted':
        return this.#search.doubt(news.between);
      case 'broken':
        return this.#onBroken(session, news);
    }
  }

  #accept(check: SpanCheck): void {
    if (this.#replacements.hold(check)) return;
    const fresh = this.#answer?.accept(check) ?? null;
    if (fresh !== null) this.#emit({ type: 'checked', check: fresh });
  }

  /** Goes on with a new shadow, as long as the answer gets on by that. */
  #onBare(session: LiveSession, news: Extract<SessionNews, { type: 'bare' }>): void {
    if (this.#answer?.mayReroute === false && session.length > 0) return;
    const loss = lossOfBare(news);
    // The replicas are signing: the session is left with the next answer.
    if (this.#draft?.isOpen === true) return this.#leaveOut(loss);
    // Nothing is lost with a session that was fed nothing, or whose answer is there.
    if (session.length === 0 || this.#answer?.isDone !== false) return this.#reroute(session, loss);
    this.#leaveOut(loss);
    this.#seek({ session, why: 'bare', ...loss });
  }

  #leaveOut({ blamed, isShown, isLate }: SessionLoss): void {
    if (isShown) this.#search.exclude(blamed, isLate, this.#now.nowMs);
    else this.#search.doubt(blamed);
  }

  /** Goes on without these as soon as there is a route. */
  #onStalled(session: LiveSession, stall: Stall): void {
    if (this.#signing.isRunning) return this.#giveUpSigning();
    if (this.#answer === null || this.#replacements.isSpent) return this.#stay(session);
    this.#search.leaveOut(stall.volunteers, stall.why, this.#now.nowMs);
    this.#seek(replacementFor(session, stall));
  }

  /** Asks for a route to go on with, while the session goes on. */
  #seek(replacement: Replacement): void {
    this.#replacements.seek(replacement);
    this.#requestRoute(replacement.session);
  }

  /** Gives up the session for this route; false if the answer is better off where it is. */
  #replace(replacement: Replacement, { route }: SignedRoute): boolean {
    const [answer, { session, why, blamed }] = [this.#answer, replacement];
    const isForgiving = answer?.isDone === false && isBarer(route, session.route) && this.#search.forgive(blamed);
    if (answer === null || answer.isDone !== (why === 'unsigned') || isForgiving || !isBetter(route, replacement)) {
      this.#effects.push({ type: 'release', release: releaseMessage(route.session, 'cancelled') });
      if (isForgiving) this.#requestRoute(session);
      else this.#bear(replacement);
      return false;
    }
    this.#replacements.take(replacement);
    const isUnsigned = why === 'unsigned';
    if (why === 'bare') answer.reroute();
    if (isUnsigned) this.#signing.run();
    this.#draft = null;
    this.#settleUnchecked(session);
    // Of an answer that is only signed anew no token is taken back.
    const news = reroutedBy(replacement, isUnsigned ? answer.history.length + 1 : answer.keepToDraw());
    this.#drop(session, isUnsigned ? 'done' : 'failed', replacement);
    this.#emit(news);
    return true;
  }

  /** Nothing is better than the session that stalls. */
  #bear({ session, why, blamed }: Replacement): void {
    this.#stopRouting();
    if (why === 'unsigned') this.#signing.end();
    this.#search.readmit(blamed);
    this.#replacements.putOff();
    this.#stay(session);
  }

  /** The answer goes on in this session as well as it can. */
  #stay(session: LiveSession): void {
    for (const check of this.#replacements.giveUp()) this.#accept(check);
    this.#perform(session, session.bear(this.#now));
    this.#endIfWhole();
  }

  #stopReplacing(): void {
    if (this.#replacements.sought !== null) this.#stopRouting();
    this.#replacements.drop();
    this.#signing.end();
  }

  /** An answer that nobody checks keeps its tokens: they never become better than they are now. */
  #settleUnchecked(session: LiveSession): void {
    if (!session.isChecked) this.#perform(session, session.closeSpan(this.#now));
  }

  #onBroken(session: LiveSession, news: Extract<SessionNews, { type: 'broken' }>): void {
    const { disputed } = news;
    if (disputed !== null && this.#answer?.mayReroute === false) this.#emit({ type: 'checked', check: disputed });
    this.#reroute(session, lossOfBroken(news));
  }

  /** Goes on in another session, in place of one that nobody failed. */
  #renew(session: LiveSession, answer: Answer): void {
    const before = answer.history.length;
    this.#drop(session, 'done');
    const from = answer.withdraw();
    if (from < before) {
      if (!answer.reroute()) return this.#fail(new ChorusError('timeout', 'no session lasts until it is checked'));
      this.#emit({ type: 'rerouted', reason: 'the time of the route is over', volunteer: null, from });
    }
    this.#requestRoute();
  }

  #reroute(session: LiveSession, loss: SessionLoss): void {
    const [answer, { error, blamed, isShown, faults }] = [this.#answer, loss];
    this.#stopReplacing();
    this.#settleUnchecked(session);
    // A session that was fed nothing cost nothing, as long as the next one is not with the same volunteers.
    const isFree = session.length === 0 && !this.#replacements.isSpent && this.#search.isNews(blamed);
    if (isFree) this.#replacements.count();
    this.#leaveOut(loss);
    const isDone = answer?.isDone !== false;
    const from = answer === null || isDone ? 0 : faults === null ? answer.withdraw() : answer.keepToDraw();
    const goesOn = answer !== null && !isDone && (isFree || answer.reroute());
    // The server hears of the next route before it forgets who was on this one.
    if (goesOn) this.#requestRoute(session);
    this.#drop(session, answer === null ? 'done' : 'failed', { faults: faults ?? [] });
    if (answer === null) return this.#search.forgetAnswer();
    // The answer is there, and so are all its verdicts.
    if (isDone) return this.#endIfWhole();
    if (!goesOn) return this.#fail(error);
    const volunteer = isShown && blamed.length === 1 ? blamed[0]! : null;
    this.#emit({ type: 'rerouted', reason: error.message, volunteer, from });
  }

  #drop(session: LiveSession, outcome: Release['outcome'], told: Parameters<LiveSession['drop']>[1] = {}): void {
    this.#session = null;
    this.#perform(session, session.drop(outcome, told));
  }

  #fail(error: ChorusError): void {
    this.#reports.expire(Infinity);
    this.#forgetAnswer();
    this.#effects.push({ type: 'fail', error });
  }

  #emit(event: AnswerEvent): void {
    if (event.type === 'fault') this.#answer?.note(event);
    this.#effects.push({ type: 'emit', event });
  }
}
