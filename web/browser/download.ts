/** Gives the person a file that this page has made. */
export function downloadText(name: string, text: string, type = 'text/plain'): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken what it needs once the click was handled, but not all of them at once.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
