// A button with a panel below it, closed by Escape or a click elsewhere.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

interface PopoverProps {
  label: ComponentChildren;
  title?: string;
  buttonClass?: string;
  /** Which edge of the button the panel is aligned to. */
  align?: 'left' | 'right';
  children: (close: () => void) => ComponentChildren;
}

export function Popover({ label, title, buttonClass = 'button', align = 'left', children }: PopoverProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return undefined;
    const onPointer = (event: PointerEvent): void => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      root.current?.querySelector('button')?.focus();
    };
    document.addEventListener('pointerdown', onPointer, true);
    document.addEventListener('keydown', onKey);
    return () => {
      document.removeEventListener('pointerdown', onPointer, true);
      document.removeEventListener('keydown', onKey);
    };
  }, [open]);
  return (
    <div class="popover" ref={root}>
      <button type="button" class={buttonClass} title={title} aria-expanded={open} onClick={() => setOpen(!open)}>
        {label}
      </button>
      {open && <div class={`panel ${align}`}>{children(() => setOpen(false))}</div>}
    </div>
  );
}

interface MenuItem {
  key: string;
  label: ComponentChildren;
  current?: boolean;
  choose(): void;
}

/** A list of choices for a popover. */
export function Menu({ items, close }: { items: readonly MenuItem[]; close: () => void }) {
  return (
    <ul class="menu">
      {items.map((item) => (
        <li key={item.key}>
          <button
            type="button"
            aria-current={item.current ? 'true' : undefined}
            onClick={() => {
              item.choose();
              close();
            }}
          >
            {item.label}
          </button>
        </li>
      ))}
    </ul>
  );
}
