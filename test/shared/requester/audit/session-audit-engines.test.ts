import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '#shared/ids.ts';
import type { AuditEffect, AuditEvent } from '#shared/requester/audit/audit-event.ts';
import { SessionAudit } from '#shared/requester/audit/session-audit.ts';
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
  readonly failed: Extract<AuditEffect, { type: 'failed' }>[] = [];
  readonly verdicts: string[] = [];
  disputes = 0;
  readonly #network: ToyNetwork;
  readonly #ends = new Map<number, number>();
  #effects: AuditEffect[] = [];
  #heard = 0;

  constructor(network: ToyNetwork) {
    this.#network = network;
    this.driver = new CheckDriver(network);
    this.audit = new SessionAudit({
      route: this.driver.route,
      envelope: { payloadType: 'route', payload: '', signatures: [{ keyid: '', sig: '' }] },
      manifest: toyManifest,
      publicKey: this.driver.identity.publicKey,
      secret: new Uint8Array(32).fill(9),
      drawnAt: () => null,
      nowMs: network.clock.nowMs(),
    });
  }

  async feed(tokens: readonly number[]): Promise<void> {
    const messages = this.driver.rows(tokens).filter((message): message is RowsMessage => message.type === 'rows');
    for (const rows of messages) {
      this.#ends.set(rows.sequence, rows.rows.start + rows.rows.count);
      this.#tell({ type: 'sent', rows });
    }
    await this.driver.sayAll(this.driver.openers, messages);
    await this.pump();
  }

  async cut(position: number): Promise<void> {
    const cut = this.driver.cutMessage(position);
    this.#tell({ type: 'cut', epoch: this.driver.epoch, position });
    await this.driver.sayAll(this.driver.openers, [cut]);
    await this.pump();
  }

  async close(): Promise<void> {
    this.#tell({ type: 'close-span' });
    await this.pump();
  }

  /** Performs effects and hears answers until nothing more comes. */
  async pump(): Promise<void> {
    for (;;) {
      for (const { from, message } of this.driver.heard.slice(this.#heard)) this.#hear(from, message);
      this.#heard = this.driver.heard.length;
      const effects = this.#effects.splice(0);
      for (const effect of effects) await this.#perform(effect);
      await this.#network.clock.advance(30);
      if (effects.length === 0 && this.driver.heard.length === this.#heard) return;
    }
  }

  #hear(from: PeerId, message: PeerMessage): void {
    if (message.type !== 'rows') return this.#tell({ type: 'message', from, message });
    this.#tell({ type: 'received', rows: message, end: this.#ends.get(message.sequence)! });
  }

  #tell(event: AuditEvent): void {
    this.#effects.push(...this.audit.handle(event, { nowMs: this.#network.clock.nowMs() }));
  }

  async #perform(effect: AuditEffect): Promise<void> {
    switch (effect.type) {
      case 'connect':
        return this.#tell({ type: 'linked', peer: effect.peer });
      case 'send':
        return this.driver.say(effect.to, [effect.message], 0);
      case 'sign':
        return this.#tell({
          type: 'signed',
          ticket: effect.ticket,
          signature: await this.driver.identity.sign(effect.bytes),
        });
      case 'verify': {
        const isGood = await toyVerify(effect.publicKey, effect.bytes, effect.signature);
        return this.#tell({ type: 'verified', ticket: effect.ticket, isGood });
      }
      case 'checked':
        this.verdicts.push(`${effect.check.start}-${effect.check.end} ${effect.check.tier}`);
        return;
      case 'dispute':
        this.disputes += 1;
        return;
      case 'failed':
        this.failed.push(effect);
    }
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
