// A button that copies text and says that it did.

import { useState } from 'preact/hooks';
import { Icon } from './icons.tsx';

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [said, setSaid] = useState(label);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // Clipboards need HTTPS or localhost.
      setSaid('Not allowed');
    }
    setTimeout(() => setSaid(label), 1500);
  };
  return (
    <button type="button" class="button" onClick={() => void copy()}>
      <Icon name="copy" /> {said}
    </button>
  );
}
