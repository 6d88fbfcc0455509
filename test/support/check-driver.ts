import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { createSeedChain } from '#shared/judge/seed-chain.ts';
import { commitBytes, NO_OPENING } from '#shared/judge/statement-codec.ts';
import type { Commit, Reveal, Signed, Span } from '#shared/judge/statement.ts';
import type { Route } from '#shared/route/route.ts';
import { chunkEnd, chunkOf } from '#shared/rows/chunk.ts';
import { RowChain, ShapeChain, splitRows } from '#shared/rows/row-chain.ts';
import { encodeTokens } from '#shared/rows/rows.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import type { FakeLinks } from './fake-links.ts';
import { TOY_VOCABULARY } from './toy-model.ts';
import { toyIdentity, type ToyNetwork, type ToyVolunteer } from './toy-network.ts';

const ZERO = new Uint8Array(32);

/** A prompt for the toy, another for each length. */
export function toyPrompt(length: number): number[] {
  return Array.from({ length }, (_, i) => 1 + ((7 * i + length) % (TOY_VOCABULARY - 1)));
}

/** A route of the toy network's whose every stage has its second volunteers for shadows. */
export function shadowedRoute(network: ToyNetwork, requester: PeerId, capacity = 256): Route {
  const route = network.route(requester, capacity)!;
  const stages = route.stages.map((stage, i) => {
    const others = network.of(i).filter(({ id }) => id !== stage.primary.id);
    return { ...stage, shadows: others.map(({ id }) => ({ id, webrtc: true, numericClass: 'toy' })) };
  });
  return { ...route, stages };
}

/** A requester that has a session checked step by step, as its test says. */
export class CheckDriver {
  readonly identity: Identity;
  readonly heard: { readonly from: PeerId; readonly message: PeerMessage }[] = [];
  readonly route: Route;
  readonly seeds = createSeedChain(new Uint8Array(32).fill(7), 64);
  /** Of the rows that stage 0 was sent. */
  readonly sent = new RowChain();
  /** Of the messages in which it was. */
  readonly shapes = new ShapeChain();
  readonly logits = new RowChain();
  readonly spans: Span[] = [];
  epoch = 0;
  readonly #network: ToyNetwork;
  readonly #links: FakeLinks;
  #sequence = 0;
  #end = 0;

  constructor(network: ToyNetwork, name = 'checker', route?: Route) {
    this.identity = toyIdentity(name);
    this.#network = network;
    this.#links = network.links.join(this.identity.id);
    this.#links.onLink((link) => link.onMessage((message) => this.#hear(link.peer, message)));
    this.route = route ?? shadowedRoute(network, this.identity.id);
  }

  get session(): SessionId {
    return this.route.session;
  }

  get primaries(): PeerId[] {
    return this.route.stages.map(({ primary }) => primary.id);
  }

  /** The first shadow of each stage. */
  get shadows(): PeerId[] {
    return this.route.stages.map(({ shadows }) => shadows[0]!.id);
  }

  /** Primaries and shadows, stage by stage. */
  get replicas(): PeerId[] {
    return this.route.stages.flatMap(({ primary, shadows }) => [primary, ...shadows].map(({ id }) => id));
  }

  /** Says these to `peer`, over a link made where there is none, and lets `forMs` pass. */
  async say(peer: PeerId, messages: readonly PeerMessage[], forMs = 50): Promise<void> {
    const connected = this.#links.connect(peer, { webrtc: true, signal: new AbortController().signal });
    const link = await this.#network.until(connected);
    for (const message of messages) await link.send(message);
    await this.#network.clock.advance(forMs);
  }

  /** Says these to everybody of `peers` who is still there. */
  async sayAll(peers: readonly PeerId[], messages: readonly PeerMessage[]): Promise<void> {
    const present = peers.filter((peer) => this.#network.links.peer(peer) !== undefined);
    for (const peer of present) await this.say(peer, messages, 0);
    await this.#network.clock.advance(50);
  }

  get openers(): PeerId[] {
    const { primary, shadows } = this.route.stages[0]!;
    return [primary, ...shadows].map(({ id }) => id);
  }

  async open(): Promise<void> {
    const { session, route } = this;
    await this.#network.seat(route);
    await this.sayAll(this.openers, [{ type: 'open', session, stage: 0 }]);
  }

  /** Opens, audits, and sends a prompt of 40 tokens and three of an answer, each on its own. */
  async answer(): Promise<void> {
    await this.open();
    await this.audit();
    await this.feed(toyPrompt(40));
    for (const token of [3, 9, 27]) await this.feed([token]);
  }

  async audit(): Promise<void> {
    await this.sayAll(this.replicas, [{ type: 'audit', session: this.session, anchor: this.seeds.anchor }]);
  }

  /** Sends tokens to stage 0, chunk by chunk, and lets them go round. Logits are wanted of the last one. */
  async feed(tokens: readonly number[]): Promise<void> {
    await this.sayAll(this.openers, this.rows(tokens));
    await this.#network.clock.advance(100);
  }

  rows(tokens: readonly number[]): PeerMessage[] {
    const messages: PeerMessage[] = [];
    const logitsFrom = this.#end + tokens.length - 1;
    for (let done = 0; done < tokens.length;) {
      const start = this.#end;
      const part = tokens.slice(done, done + chunkEnd(start) - start);
      const rows = { kind: 'tokens', start, count: part.length, bytes: encodeTokens(part) } as const;
      const { session, epoch } = this;
      const sequence = this.#sequence++;
      messages.push(
        rowsMessage({ session, stage: 0, epoch, sequence, chunk: chunkOf(start), logitsFrom, rows, hops: [] }),
      );
      for (const row of splitRows(rows.bytes, part.length)) this.sent.append(row);
      this.shapes.append(start, part.length);
      this.#end += part.length;
      done += part.length;
    }
    return messages;
  }

  cutMessage(position: number): PeerMessage {
    this.epoch += 1;
    this.#end = position;
    this.sent.cut(position);
    this.shapes.cut(position);
    this.logits.cut(position);
    return { type: 'cut', session: this.session, epoch: this.epoch, position };
  }

  async cut(position: number): Promise<void> {
    await this.sayAll(this.openers, [this.cutMessage(position)]);
  }

  span(start: number, end: number): Span {
    const span = { session: this.session, epoch: this.epoch, index: this.spans.length + 1, start, end };
    this.spans.push(span);
    return span;
  }

  async check(start: number, end: number, peers = this.replicas): Promise<Span> {
    const span = this.span(start, end);
    await this.sayAll(peers, [{ type: 'check', ...span }]);
    return span;
  }

  /** The requester's own commit. */
  async commit(span: Span, change: Partial<Commit> = {}, by = this.identity): Promise<Signed<Commit>> {
    const { stages } = this.route;
    const [outputFrom, outputTo] = [this.sent.at(span.start), this.sent.at(span.end)];
    const chains = { inputFrom: ZERO, inputTo: ZERO, outputFrom, outputTo, shapes: ZERO };
    const statement = { ...span, opening: NO_OPENING, stage: stages.length, ...chains, ...change };
    return { statement, publicKey: by.publicKey, signature: await by.sign(commitBytes(statement)) };
  }

  async challengeMessage(span: Span): Promise<Extract<PeerMessage, { type: 'challenge' }>> {
    const { session, index } = span;
    return { type: 'challenge', session, index, seed: this.seeds.seed(index), commit: await this.commit(span) };
  }

  async challenge(span: Span, peers = this.replicas): Promise<void> {
    await this.sayAll(peers, [await this.challengeMessage(span)]);
  }

  commits(from: PeerId): Signed<Commit>[] {
    return this.from(from).flatMap((message) => (message.type === 'commit' ? [message.commit] : []));
  }

  reveals(from: PeerId): Signed<Reveal>[] {
    return this.from(from).flatMap((message) => (message.type === 'reveal' ? [message.reveal] : []));
  }

  /** How many commits came from each. */
  commitsOf(peers: readonly PeerId[] = this.replicas): number[] {
    return peers.map((peer) => this.commits(peer).length);
  }

  revealsOf(peers: readonly PeerId[] = this.replicas): number[] {
    return peers.map((peer) => this.reveals(peer).length);
  }

  faults(from: PeerId): string[] {
    return this.from(from).flatMap((message) => (message.type === 'fault' ? [message.code] : []));
  }

  /** Faults of anybody. */
  get allFaults(): string[] {
    return this.heard.flatMap(({ message }) => (message.type === 'fault' ? [message.code] : []));
  }

  from(peer: PeerId): PeerMessage[] {
    return this.heard.filter((heard) => heard.from === peer).map(({ message }) => message);
  }

  volunteer(peer: PeerId): ToyVolunteer {
    return this.#network.volunteers.find(({ id }) => id === peer)!;
  }

  #hear(from: PeerId, message: PeerMessage): void {
    this.heard.push({ from, message });
    if (message.type !== 'rows' || message.rows.kind !== 'logits') return;
    const { start, count, bytes } = message.rows;
    const rows = splitRows(bytes, count);
    // Positions whose logits nobody wanted lie before these.
    while (this.logits.position < start) this.logits.append(new Uint8Array());
    for (const row of rows) this.logits.append(row);
  }
}
