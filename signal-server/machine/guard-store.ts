import type { Store } from '../store/store.ts';
import { fileFaultOf } from './file-fault.ts';
import type { StorageState } from './storage-state.ts';

/** The appends of each port. */
const APPENDS: { readonly [Port in Exclude<keyof Store, 'close'>]: readonly (keyof Store[Port])[] } = {
  history: ['volunteerSeen', 'sessionEnded', 'prune'],
  trust: ['credit', 'failHidden', 'convict', 'prune'],
  acknowledged: ['write'],
  receipts: ['begin', 'confirm', 'abandon', 'prune', 'addGrowth'],
  listed: ['put'],
};

/**
 * The same store, whose every append tells `storage` how it went. One that the disk did not take is rejected with words
 * for everybody; a fault that is not the disk's stays as it is.
 */
export function guardStore(store: Store, storage: Pick<StorageState, 'failed' | 'worked'>): Store {
  async function watch<Outcome>(append: () => Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await append();
      storage.worked();
      return outcome;
    } catch (thrown) {
      if (fileFaultOf(thrown) === null) throw thrown;
      throw storage.failed(thrown);
    }
  }
  const guarded = <Name extends keyof typeof APPENDS>(name: Name): Store[Name] =>
    watchAppends<Store[Name]>(store[name], APPENDS[name], watch);
  return {
    history: guarded('history'),
    trust: guarded('trust'),
    acknowledged: guarded('acknowledged'),
    receipts: guarded('receipts'),
    listed: guarded('listed'),
    close: () => store.close(),
  };
}

/** The port with `watch` around each call of these methods. */
function watchAppends<Port extends object>(
  port: Port,
  appends: readonly (keyof Port)[],
  watch: (append: () => Promise<unknown>) => Promise<unknown>,
): Port {
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const call = (...given: unknown[]): unknown => Reflect.apply(value, target, given);
      if (!appends.includes(name as keyof Port)) return call;
      return (...given: unknown[]) => watch(() => call(...given) as Promise<unknown>);
    },
  });
}
