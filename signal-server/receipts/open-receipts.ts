import type { Router } from 'express';
import { ReceiptDesk, type ReceiptDeskDeps } from './receipt-desk.ts';
import { ReceiptFinder, type ReceiptFinderDeps } from './receipt-finder.ts';
import { createReceiptRouter, type ReceiptRouterDeps } from './receipt-router.ts';

export interface Receipts {
  readonly desk: ReceiptDesk;
  readonly finder: ReceiptFinder;
  readonly router: Router;
}

/** The receipts of a server that has a log: its desk, to be recovered before the router is used, and the routes. */
export function openReceipts(
  deps: Omit<ReceiptDeskDeps, 'config'> &
    ReceiptFinderDeps &
    Pick<ReceiptRouterDeps, 'onError'> & { readonly config: ReceiptDeskDeps['config'] & ReceiptRouterDeps['config'] },
): Receipts {
  const { config, onRefused, onError } = deps;
  const desk = new ReceiptDesk(deps);
  const finder = new ReceiptFinder(deps);
  return { desk, finder, router: createReceiptRouter({ desk, finder, config, onRefused, onError }) };
}
