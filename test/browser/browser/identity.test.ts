import { afterEach, expect, it } from 'vitest';
import { utf8 } from '#shared/bytes.ts';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { openIdentity, type PageIdentity } from '../../../web/browser/identity.ts';

const open: PageIdentity[] = [];
async function visit(): Promise<PageIdentity> {
  const page = await openIdentity();
  open.push(page);
  return page;
}
/** Locks are given back a moment after their holder lets go. */
async function leave(page: PageIdentity): Promise<void> {
  page.release();
  await navigator.locks.request(`identity-${page.slot}`, () => undefined);
}
afterEach(() => Promise.all(open.splice(0).map(leave)));

it('a tab finds the key of its last visit', async () => {
  const first = await visit();
  await leave(first);
  const second = await visit();
  expect(second.identity.id).toBe(first.identity.id);
  expect(second.isKept).toBe(true);
});

it('two tabs at once have two keys, and each finds its own again', async () => {
  const [one, two] = [await visit(), await visit()];
  expect(one.identity.id).not.toBe(two.identity.id);
  await leave(two);
  expect((await visit()).identity.id).toBe(two.identity.id);
});

it('the key that comes from storage signs', async () => {
  await leave(await visit());
  const { identity } = await visit();
  const message = utf8('hello');
  expect(await verifySignature(identity.publicKey, message, await identity.sign(message))).toBe(true);
});
