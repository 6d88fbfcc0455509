import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import { SessionAudit } from '#shared/requester/audit/session-audit.ts';
import type { AuditFailure, AuditHost } from '#shared/requester/audit/span-audit.ts';
import { SpanBook } from '#shared/requester/audit/span-book.ts';
import type { PeerMessage, RowsMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { CheckDriver } from '../../../support/check-driver.ts';
import { toyManifest, TOY_VOCABULARY } from '../../../support/toy-model.ts';
import { ToyNetwork, toyVerify } from '../../../support/toy-network.ts';

const prompt = (length: number, from = 0) =>
  Array.from({ length }, (_, i) => 1 + ((7 * (from + i) + 3) % (TOY_VOCABULARY - 1)));

/** A requester's audit over the links of a toy network, whose replicas are real ones. */
class AuditedSession {
  readonly driver: CheckDriver;
  readonly audit: SessionAudit;
  readonly book: SpanBook;
  readonly failed: AuditFailure[] = [];
  readonly verdicts: string[] = [];
  disputes = 0;
  readonly #network: ToyNetwork;
  readonly #ends = new Map<number, number>();
  readonly #tasks: (() => Promise<void>)[] = [];
  #heard = 0;

  constructor(network: ToyNetwork) {
    this.#network = network;
    this.driver = new CheckDriver(network);
    this.book = new SpanBook(this.driver.route);
    const config = {
      route: this.driver.route,
      envelope: { payloadType: 'route', payload: '', signatures: [{ keyid: '', sig: '' }] },
      manifest: toyManifest,
      publicKey: this.driver.identity.publicKey,
      secret: new Uint8Array(32).fill(9),
      drawnAt: () => null,
    };
    this.audit = new SessionAudit(config, this.book, this.#host());
    this.audit.start();
  }

  #host(): AuditHost {
    const { clock } = this.#network;
    const later = (task: () => Promise<void>) => void this.#tasks.push(task);
    return {
      get nowMs() {
        return clock.nowMs();
      },
      connect: (peer) => later(async () => this.audit.linked(peer)),
      send: (to, message) => later(() => this.driver.say(to, [message], 0)),
      sign: (bytes, then) => later(async () => then(await this.driver.identity.sign(bytes))),
      verify: ({ publicKey, bytes, signature }, then) =>
        later(async () => then(await toyVerify(publicKey, bytes, signature))),
      judged: () => {
        for (const { start, end, tier } of this.book.verdicts.take()) this.verdicts.push(`${start}-${end} ${tier}`);
      },
      dispute: () => {
        this.disputes += 1;
      },
      failed: (failure) => this.failed.push(failure),
      redrawn: () => undefined,
      bare: () => undefined,
    };
  }

  async feed(tokens: readonly number[]): Promise<void> {
    const messages = this.driver.rows(tokens).filter((message): message is RowsMessage => message.type === 'rows');
    for (const rows of messages) {
      this.#ends.set(rows.sequence, rows.rows.start + rows.rows.count);
      this.book.sent(rows);
    }
    await this.driver.sayAll(this.driver.openers, messages);
    await this.pump();
  }

  async cut(position: number): Promise<void> {
    const cut = this.driver.cutMessage(position);
    this.audit.cut(this.driver.epoch, position);
    await this.driver.sayAll(this.driver.openers, [cut]);
    await this.pump();
  }

  async close(): Promise<void> {
    this.audit.closeSpan();
    await this.pump();
  }

  /** Performs effects and hears answers until nothing more comes. */
  async pump(): Promise<void> {
    for (;;) {
      for (const { from, message } of this.driver.heard.slice(this.#heard)) this.#hear(from, message);
      this.#heard = this.driver.heard.length;
      const tasks = this.#tasks.splice(0);
      for (const task of tasks) await task();
      await this.#network.clock.advance(30);
      if (tasks.length === 0 && this.driver.heard.length === this.#heard) return;
    }
  }

  #hear(from: PeerId, message: PeerMessage): void {
    if (message.type === 'rows') this.audit.received(message, this.#ends.get(message.sequence)!);
    else this.audit.onMessage(from, message);
  }
}

describe('a session among real replicas', () => {
  let network: ToyNetwork;
  let session: AuditedSession;
  let primaries: PeerId[];
  let shadows: PeerId[];

  beforeEach(async () => {
    network = new ToyNetwork(2);
    session = new AuditedSession(network);
    const { stages } = session.driver.route;
    primaries = stages.map(({ primary }) => primary.id);
    shadows = stages.map((stage) => stage.shadows[0]!.id);
    await session.driver.open();
    // The requester's own part of the route is not what is tested here.
    session.driver.heard.length = 0;
  });

  const named = () => session.failed.map(({ peer, code, partner }) => ({ peer, code, partner }));

  it('has prompt and answer checked bit for bit', async () => {
    await session.feed(prompt(70));
    for (const token of prompt(9, 70)) await session.feed([token]);
    await session.close();
    expect(session.verdicts).toEqual(['0-32 checked', '32-64 checked', '64-79 checked']);
    expect(session.failed).toEqual([]);
    expect(session.driver.allFaults).toEqual([]);
  });

  it('goes on after a cut into what was checked, and into what was not', async () => {
    await session.feed(prompt(40));
    await session.close();
    await session.cut(35);
    await session.feed(prompt(10, 50));
    await session.cut(38);
    await session.feed(prompt(30, 80));
    await session.close();
    expect(session.verdicts).toEqual(['0-32 checked', '32-40 checked', '35-64 checked', '64-68 checked']);
    expect(session.failed).toEqual([]);
    expect(session.driver.allFaults).toEqual([]);
  });

  it('has the rest of a span that was cut into checked again, though some had committed to it', async () => {
    await session.feed(prompt(32));
    network.links.fate = (message, from) => (message.type === 'commit' && from === shadows[1] ? [] : [1]);
    await session.feed(prompt(20, 32));
    await session.close();
    network.links.fate = () => [1];
    expect(session.verdicts).toEqual(['0-32 checked']);
    await session.cut(44);
    await session.feed(prompt(8, 90));
    await session.close();
    await session.feed(prompt(12, 100));
    expect(session.verdicts).toEqual(['0-32 checked', '32-52 checked', '52-64 checked']);
    expect(session.failed).toEqual([]);
    expect(session.driver.allFaults).toEqual([]);
  });

  it('names a primary that delivers other rows than it commits to, whoever receives them', async () => {
    network.links.rewrite = (message, from) => {
      if (message.type !== 'rows' || from !== primaries[0] || message.rows.kind !== 'hidden') return message;
      const bytes = message.rows.bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
      return rowsMessage({ ...message, rows: { ...message.rows, bytes } });
    };
    await session.feed(prompt(8));
    await session.close();
    // Both receivers got other rows than the sender committed to, and say so.
    expect(named()).toEqual([{ peer: primaries[0], code: 'output-mismatch', partner: null }]);
  });
});
