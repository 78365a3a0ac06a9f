/** Makes lines of unknown programs harmless to look at. Markup needs no care here: it is only ever set as text. */

// Escape sequences of terminals: CSI (colours, cursor), OSC (titles, links), and the short ones.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-OQ-WYZ\\`-~])/g;
// Other control characters, and those that turn the direction of writing: a line must not pretend to be another.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export function plain(text: string): string {
  if (!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(text)) return text;
  return text.replace(ESCAPES, '').replace(CONTROLS, (one) => {
    const code = one.charCodeAt(0);
    // U+2400 and on are pictures of the control characters.
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? '\u2421' : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** The start of a long text, with the number of characters that are left out. */
export function clip(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  return `${text.slice(0, charsMax)} … ${(text.length - charsMax).toLocaleString('en-US')} more characters`;
}
