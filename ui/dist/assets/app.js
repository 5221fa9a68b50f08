// node_modules/preact/dist/preact.mjs
var n$1;
var t$2;
var r$2;
var u$3;
var i$2;
var f$3;
var o$3;
var e$2;
var l$2;
var c$2;
var a$3;
var h$3 = Symbol.for("pv");
var p$3 = {};
var y$3 = [];
var v$2 = /^m(i|n|o|s|text|space)$/;
var w$3 = Array.isArray;
var d$3 = y$3.slice;
var _$2 = Object.assign;
function g$3(n) {
	n && n.parentNode && n.remove();
}
function k$2(n, t, r) {
	var u, i, f, o = {}, e = arguments.length;
	for (f in t) "key" == f ? u = t[f] : "ref" == f && "function" != typeof n ? i = t[f] : o[f] = t[f];
	return e > 2 && (o.children = e > 3 ? d$3.call(arguments, 2) : r), m$3(n, o, u, i, null);
}
function m$3(r, u, i, f, o) {
	var e = {
		type: r,
		props: u,
		key: i,
		ref: f,
		__k: null,
		__: null,
		__b: 0,
		__e: null,
		__c: null,
		constructor: h$3,
		__v: o || ++t$2,
		__i: -1,
		__u: 0
	};
	return !o && n$1.vnode && n$1.vnode(e), e;
}
function $(n) {
	return n.children;
}
function x$1(n, t) {
	this.props = n, this.context = t, this.__g = 0;
}
function S$1(n, t) {
	if (null == t) return n.__ && S$1(n.__, n.__i + 1);
	for (var r; t < n.__k.length; t++) if ((r = n.__k[t]) && r.__e) return r.__e;
	return "function" != typeof n.type || n.props.__P ? null : S$1(n);
}
function C$1(t) {
	var r, u = t.__v, i = u.__e, f = [], o = [], e = t.__P;
	e && ((r = _$2({ constructor: h$3 }, u)).__v = u.__v + 1, n$1.vnode && n$1.vnode(r), z$1(e, r, u, t.__n, e.namespaceURI, 32 & u.__u ? [i] : null, f, i || S$1(u), 32 & u.__u, o), r.__v = u.__v, r.__.__k[r.__i] = r, E$1(f, r, o), u.__ = u.__e = null, r.__e != i && j$1(r));
}
function j$1(n) {
	if ((n = n.__) && n.__c && !n.props.__P) return n.__e = null, n.__k.some(function(t) {
		return t && (n.__e = t.__e);
	}), j$1(n);
}
function L(t) {
	(8 & t.__g || (t.__g |= 8, u$3.push(t), f$3++)) && i$2 == n$1.debounceRendering || ((i$2 = n$1.debounceRendering) || queueMicrotask)(H);
}
function H() {
	try {
		for (var n, t = 1; u$3.length;) u$3.length > t && u$3.sort(o$3), n = u$3.shift(), t = u$3.length, 8 & n.__g && C$1(n);
	} finally {
		(f$3 = u$3.length) && (i$2 || queueMicrotask)(H);
	}
}
function I(n, t, r, u, i, f, o, e, l, c, a) {
	var s, h, v, w, d, _, g = u.__k || y$3, k = t.length;
	for (l = q(r, t, g, l, k), s = 0; s < k; s++) null != (v = r.__k[s]) && (h = ~v.__i && g[v.__i] || p$3, v.__i = s, _ = z$1(n, v, h, i, f, o, e, l, c, a), w = v.__e, (h.ref != v.ref || 8 & h.__u) && (h.ref && G$1(h.ref, null, v, h), v.ref && a.push(v.ref, v.__c || w, v)), d = d || w, 4 & v.__u ? (l = A$2(v, l, n, !h.__v), h.__e && (h.__e = null)) : "function" == typeof v.type && void 0 !== _ ? l = _ : w && (l = w.nextSibling), v.__u &= -21);
	return r.__e = d, l;
}
function q(n, t, r, u, i) {
	var f, o, e, l, c, a, s, p, y, v = r.length, d = v, _ = 0, g = 0, k = n.__k = Array(i);
	for (f = 0; f < i; f++) null != (o = t[f]) && "boolean" != typeof o && "function" != typeof o ? ("object" != typeof o || o.constructor === String ? o = k[f] = m$3(null, o) : w$3(o) ? o = k[f] = m$3($, { children: o }) : o.constructor === h$3 && o.__b ? o = k[f] = m$3(o.type, o.props, o.key, o.ref, o.__v) : k[f] = o, l = f + _, o.__ = n, o.__b = n.__b + 1, e = null, ~(c = o.__i = P$1(o, r, l, d)) && (d--, (e = r[c]) && (e.__u |= 2)), e && e.__v ? (o.__u |= 16, c == l - 1 ? _-- : c == l + 1 ? _++ : c != l && (c > l ? _-- : _++, g = 1)) : (~c || (i > v ? _-- : i < v && _++), "function" != typeof o.type && (o.__u |= 4))) : k[f] = null;
	if (g) {
		for (a = [], s = [], f = 0; f < i; f++) if ((o = k[f]) && 16 & o.__u) {
			for (_ = 0, p = a.length; _ < p;) a[y = _ + p >> 1] < o.__i ? _ = y + 1 : p = y;
			a[_] = o.__i, s[f] = _ + 1;
		}
		for (_ = a.length; f--;) s[f] && (s[f] == _ ? _-- : k[f].__u |= 4);
	}
	if (d) for (f = 0; f < v; f++) !(e = r[f]) || 2 & e.__u || (e.__e == u && (u = S$1(e)), J(e, e));
	return u;
}
function A$2(n, t, r, u) {
	var i, f, o, e;
	if ("function" == typeof n.type) {
		if (n.props.__P) return t;
		if (i = n.__k) for (f = 0; f < i.length; f++) i[f] && (i[f].__ = n, t = A$2(i[f], t, r, !1));
		return t;
	}
	for (t && !t.parentNode && (t = S$1(n)) && !t.parentNode && (t = null), o = n.__e, e = t; e && 8 == e.nodeType;) e = e.nextSibling;
	for (o != e && (!u && r.moveBefore && o.parentNode ? r.moveBefore(o, t) : r.insertBefore(o, t || null)), t = o; (t = t && t.nextSibling) && 8 == t.nodeType && !t.data.startsWith("$s"););
	return t;
}
function P$1(n, t, r, u) {
	var i, f = n.key, o = n.type, e = t[r], l = e && !(2 & e.__u);
	if (null === e && null == f || l && f == e.key && o == e.type) return r;
	if (u > (l ? 1 : 0)) {
		for (i = r - 1; i >= 0; i--) if ((e = t[i]) && !(2 & e.__u) && f == e.key && o == e.type) return i;
		for (i = r + 1; i < t.length; i++) if ((e = t[i]) && !(2 & e.__u) && f == e.key && o == e.type) return i;
	}
	return -1;
}
function T$1(n, t, r) {
	r ??= "", "-" == t[0] ? n.setProperty(t, r) : n[t] = r;
}
function N(n, t, r, u, i) {
	var f, o;
	if ("style" == t) if ("string" == typeof r) n.style.cssText = r;
	else {
		if ("string" == typeof u && (n.style.cssText = u = ""), u) for (t in u) r && t in r || T$1(n.style, t);
		if (r) for (t in r) u && r[t] == u[t] || T$1(n.style, t, r[t]);
	}
	else if ("o" == t[0] && "n" == t[1]) "function" != typeof r && (r = null), "function" != typeof u && (u = null), (n.__e || (n.__e = {}))[t] = r, r && u || (o = a$3[t] || (a$3[t] = V(t)), (n.__a || (n.__a = {}))[t] = c$2, f = t != (t = t.replace(l$2, "$1")), (t = t.slice(2))[0] < "a" && (t = t.toLowerCase()), r ? n.addEventListener(t, o, f) : n.removeEventListener(t, o, f));
	else {
		if ("http://www.w3.org/2000/svg" == i) t = t.replace(/xlink(H|:h)/, "h").replace(/sName$/, "s");
		else if ("width" != t && "height" != t && "href" != t && "list" != t && "form" != t && "tabIndex" != t && "download" != t && "rowSpan" != t && "colSpan" != t && "role" != t && "popover" != t && t in n) try {
			n[t] = null == r ? "" : r;
			return;
		} catch (n) {}
		if ("function" == typeof r) return;
		null == r || !1 === r && "-" != t[4] ? n.removeAttribute(t) : n.setAttribute(t, "popover" == t && 1 == r ? "" : r);
	}
}
function V(t) {
	return function(r) {
		var u = this.__e;
		if (u) {
			if (u = u[t], null == r[e$2]) r[e$2] = c$2++;
			else if (r[e$2] < this.__a[t]) return;
			return u(n$1.event ? n$1.event(r) : r);
		}
	};
}
function z$1(t, r, u, i, f, o, e, l, c, a) {
	var s, p, v, d, k, b, m, M, C, j, L, H, q, A, O, P, T, N, V = r.type;
	if (r.constructor !== h$3) return null;
	128 & u.__u && (c = 32 & u.__u, s = u.__c.__z) && (r.__u |= c, p = o = [], 8 == s.nodeType ? l = B$1(s, o) : o.push(s), l = o[0] || l), (s = n$1.__b) && s(r);
	n: if ("function" == typeof V) {
		v = e.length;
		try {
			if (M = r.props, C = (s = V.prototype) && s.render, j = (s = V.contextType) && i[s.__c], L = s ? j ? j.props.value : s.__ : i, (d = u.__c) ? (r.__c = d, 2 & d.__g && (d.__g |= 1)) : (C ? r.__c = d = new V(M, L) : (r.__c = d = new x$1(M, L), d.constructor = V, d.render = K), j && j.sub(d), d.state || (d.state = {}), d.__n = i, d.__g |= 8, d.__h = [], d.__k = []), C && (d.__s || (d.__s = d.state), V.getDerivedStateFromProps && (d.__s == d.state && (d.__s = _$2({}, d.__s)), _$2(d.__s, V.getDerivedStateFromProps(M, d.__s)))), k = d.props, b = d.state, d.__v = r, u.__c) {
				if (M !== k && C && !V.getDerivedStateFromProps && d.componentWillReceiveProps && d.componentWillReceiveProps(M, L), r.__v == u.__v && !(8 & d.__g) || !(4 & d.__g) && d.shouldComponentUpdate && !1 === d.shouldComponentUpdate(M, d.__s, L)) {
					r.__v != u.__v && (d.props = M, d.state = d.__s, d.__g &= -9), r.__e = u.__e, r.__k = u.__k, r.__k.some(function(n) {
						n && (n.__ = r);
					}), y$3.push.apply(d.__h, d.__k), d.__k = [], d.__h.length && e.push(d), l = S$1(u);
					break n;
				}
				d.componentWillUpdate && d.componentWillUpdate(M, d.__s, L), C && d.componentDidUpdate && d.__h.push(function() {
					d.componentDidUpdate(k, b, m);
				});
			} else C && !V.getDerivedStateFromProps && d.componentWillMount && d.componentWillMount(), C && d.componentDidMount && d.__h.push(d.componentDidMount);
			d.context = L, d.props = M, d.__P = t, d.__g &= -5, H = n$1.__r, q = C ? 25 : 0;
			do
				d.__g &= -9, H && H(r), s = d.render(d.props, d.state = d.__s, d.context);
			while (8 & d.__g && ++q < 25);
			C && (y$3.push.apply(d.__h, d.__k), d.__k = []), d.state = d.__s, d.getChildContext && (i = _$2({}, i, d.getChildContext())), C && u.__c && d.getSnapshotBeforeUpdate && (m = d.getSnapshotBeforeUpdate(k, b)), A = s && s.type === $ && null == s.key ? s.props.children : s, M.__P && (s = l, f = (t = M.__P).namespaceURI, c = o = null, u.props && u.props.__P != t && (u.__k.some(function(n) {
				n && J(n, n);
			}), u.__k = null), l = u.__k ? S$1(u, 0) : null), l = I(t, w$3(A) ? A : [A], r, u, i, f, o, e, l, c, a), M.__P && (r.__e = null, l = s), r.__u &= -161, p && p.some(g$3), d.__h.length && e.push(d), 1 & d.__g && (d.__g &= -4);
		} catch (t) {
			if (e.length = v, r.__v = null, c || o) if (t && t.then) {
				if (r.__u |= 128 | c, o) {
					for (~(T = o.indexOf(l || void 0)) || (T = o.length); (N = o[T - 1]) && 8 == N.nodeType;) T--;
					for (; T < o.length; T++) if (N = o[T]) if (o[T] = null, O) {
						if (N == P) break;
					} else {
						if (8 != N.nodeType) break;
						N.data.startsWith("$s") && (P = B$1(O = N));
					}
				}
				if (!O) {
					for (; l && 8 == l.nodeType && l.nextSibling;) l = l.nextSibling;
					O = l;
				}
				(s = B$1(O = r.__c.__z || (r.__c.__z = O))) ? (r.__e = O, l = s) : r.__e = l, l = l && l.nextSibling;
			} else o && o.some(g$3);
			else r.__e = u.__e;
			r.__k || (r.__k = u.__k || []), t && t.then || D$1(r), n$1.__e(t, r, u);
		}
	} else l = r.__e = F$2(u.__e, r, u, i, f, o, e, c, a, t);
	return (s = n$1.diffed) && s(r), l;
}
function B$1(n, t) {
	if (n && 8 == n.nodeType && n.data.startsWith("$s")) for (var r = 1; n = n.nextSibling;) {
		if (8 == n.nodeType) {
			if (n.data.startsWith("$s")) r++;
			else if (n.data.startsWith("/$s") && !--r) return n;
		}
		t && t.push(n);
	}
}
function D$1(n) {
	n && (n.__c && (n.__c.__g |= 4), n.__k && n.__k.some(D$1));
}
function E$1(t, r, u) {
	for (var i = 0; i < u.length;) G$1(u[i++], u[i++], u[i++]);
	n$1.__c && n$1.__c(r, t), t.some(function(r) {
		try {
			t = r.__h, r.__h = [], t.some(function(n) {
				n.call(r);
			});
		} catch (t) {
			n$1.__e(t, r.__v);
		}
	});
}
function F$2(t, r, u, i, f, o, e, l, c, a) {
	var s, h, y, _, k, b, m, M, $ = u.props || p$3, x = r.props, C = r.type;
	if ("svg" == C ? f = "http://www.w3.org/2000/svg" : "math" == C ? f = "http://www.w3.org/1998/Math/MathML" : f || (f = "http://www.w3.org/1999/xhtml"), o) {
		for (s = 0; s < o.length; s++) if ((k = o[s]) && (C ? k.localName == C : 3 == k.nodeType)) {
			t = k, o[s] = null;
			break;
		}
	}
	if (!t) {
		if (M = a.ownerDocument || document, !C) return M.createTextNode(x);
		t = M.createElementNS(f, C, x.is ? x : a), l && (n$1.__m && n$1.__m(r, o), l = !1), o = null;
	}
	if (C) {
		if (a = "template" == C && t.content || t, o = "textarea" == C && null != x.defaultValue ? null : o && d$3.call(a.childNodes), !l && o) for ($ = {}, s = 0; s < t.attributes.length; s++) $[(k = t.attributes[s]).name] = k.value;
		for (s in $) k = $[s], "dangerouslySetInnerHTML" == s ? y = k : "children" == s || s in x || "value" == s && "defaultValue" in x || "checked" == s && "defaultChecked" in x || N(t, s, null, k, f);
		for (s in x) k = x[s], "children" == s ? _ = k : "dangerouslySetInnerHTML" == s ? h = k : "value" == s ? b = k : "checked" == s ? m = k : l && "function" != typeof k || $[s] === k || N(t, s, k, $[s], f);
		h ? (l || y && (h.__html == y.__html || h.__html == t.innerHTML) || (t.innerHTML = h.__html), r.__k = []) : (y && (t.textContent = ""), ("foreignObject" == C || "http://www.w3.org/1998/Math/MathML" == f && v$2.test(C)) && (f = "http://www.w3.org/1999/xhtml"), I(a, w$3(_) ? _ : [_], r, u, i, f, o, e, o ? o[0] : u.__k && S$1(u, 0), l, c), o && o.some(g$3)), l && "textarea" != C || (s = "value", "progress" == C && null == b ? t.removeAttribute(s) : null == b || b === t[s] && ("progress" != C || b) || N(t, s, b, $[s], f), s = "checked", null != m && m != t[s] && N(t, s, m, $[s], f));
	} else $ === x || l && t.data == x || (t.data = x);
	return t;
}
function G$1(t, r, u, i) {
	try {
		"function" == typeof t ? r ? r.__x = t(r) || 1 : i && (i = i.__c || i.__e) && (r = i.__x) && (i.__x = null, "function" == typeof r ? r() : t(null)) : t.current = r;
	} catch (t) {
		n$1.__e(t, u);
	}
}
function J(t, r, u) {
	var i, f, o, e;
	if (n$1.unmount && n$1.unmount(t), !(i = t.ref) || i.current && i.current != t.__e || G$1(i, null, r, t), i = t.__c) {
		if (i.componentWillUnmount) try {
			i.componentWillUnmount();
		} catch (t) {
			n$1.__e(t, r);
		}
		i.__P = i.__n = null;
	}
	if (i = t.__k) for (e = 0; e < i.length; e++) i[e] && J(i[e], r, "function" != typeof t.type || u && !t.props.__P);
	!u && (i = t.__c) && (i = i.__z) && (f = B$1(i, o = [])) && (i == t.__e && o.some(g$3), g$3(f), g$3(i)), u || g$3(t.__e), t.__e = t.__c = t.__ = null;
}
function K(n, t, r) {
	return this.constructor(n, r);
}
function Q(t, r) {
	var u, i, f, o;
	n$1.__ && n$1.__(t, r), 9 == r.nodeType && (r = r.documentElement), i = (u = t && 32 & t.__u) ? null : r.__k, r.__k = m$3($, { children: [t] }), f = [], o = [], z$1(r, r.__k, i || p$3, p$3, r.namespaceURI, i ? null : r.firstChild ? d$3.call(r.childNodes) : null, f, i ? i.__e : r.firstChild, u, o), E$1(f, r.__k, o), r.__k.props.children = null;
}
n$1 = { __e: function(n, t, r, u) {
	for (var i, o, e; t = t.__;) if ((i = t.__c) && !(1 & i.__g)) {
		i.__g |= 4;
		try {
			if ((e = (o = i.constructor) && o.getDerivedStateFromError) && i.setState(o.getDerivedStateFromError(n)), i.componentDidCatch && (i.componentDidCatch(n, u || {}), e = 1), e && 8 & i.__g) return void (i.__g |= 2);
		} catch (t) {
			n = t;
		}
	}
	throw f$3 = 0, n;
} }, t$2 = 0, r$2 = function(n) {
	return null != n && n.constructor === h$3;
}, x$1.prototype.setState = function(n, t) {
	var r = this.__s;
	r && r != this.state || (r = this.__s = _$2({}, this.state)), "function" == typeof n && (n = n(_$2({}, r), this.props)), n && (_$2(r, n), this.__v && (t && this.__k.push(t), L(this)));
}, x$1.prototype.forceUpdate = function(n) {
	this.__v && (this.__g |= 4, n && this.__h.push(n), L(this));
}, x$1.prototype.render = $, u$3 = [], f$3 = 0, o$3 = function(n, t) {
	return n.__v.__b - t.__v.__b;
}, e$2 = Symbol(), l$2 = /(PointerCapture)$|Capture$/i, c$2 = 0, a$3 = {};
// node_modules/preact/hooks/dist/hooks.mjs
var t$1;
var r$1;
var u$2;
var i$1;
var o$2 = Object.is;
var f$2 = 0;
var c$1 = [];
var e$1 = [];
var a$2 = n$1;
var v$1 = a$2.__b;
var l$1 = a$2.__r;
var m$2 = a$2.diffed;
var h$2 = a$2.__c;
var s$1 = a$2.unmount;
var p$2 = a$2.__;
function y$2(n, t) {
	a$2.__h && a$2.__h(r$1, n, f$2 || t), f$2 = 0;
	var u = r$1.__H || (r$1.__H = {
		__: [],
		__h: []
	});
	return n >= u.__.length && u.__.push({}), u.__[n];
}
function d$2(n) {
	return f$2 = 1, _$1(G, n);
}
function _$1(n, u, i) {
	var f = y$2(t$1++, 2);
	if (f.t = n, !f.__c && (f.__ = [i ? i(u) : G(void 0, u), function(n) {
		var t = (f.__N || f.__)[0], r = f.t(t, n);
		o$2(t, r) || (f.__N = [r, f.__[1]], f.__c.setState({}));
	}], f.__c = r$1, !r$1.__f)) {
		r$1.__f = !0;
		var c = r$1.shouldComponentUpdate;
		r$1.shouldComponentUpdate = function(n, t, r) {
			var u = this.__H;
			if (!u) return !0;
			var i = !1, f = this.props != n;
			if (u.__.some(function(n) {
				n.__N && (i = !0, o$2(n.__[0], n.__N[0]) || (f = !0));
			}), c) {
				var e = c.call(this, n, t, r);
				return i ? e || f : e;
			}
			return !i || f;
		};
	}
	return f.__;
}
function A$1(n, u) {
	var i = y$2(t$1++, 3);
	!a$2.__s && E(i.__H, u) && (i.__P = !0, i.__ = n, i.u = u, r$1.__H.__h.push(i));
}
function F$1(n, u) {
	var i = y$2(t$1++, 4);
	!a$2.__s && E(i.__H, u) && (i.__P = !1, i.__ = n, i.u = u, r$1.__h.push(i));
}
function T(n) {
	return f$2 = 5, w$2(function() {
		return { current: n };
	}, []);
}
function w$2(n, r) {
	var u = y$2(t$1++, 7);
	return E(u.__H, r) && (u.__ = n(), u.__H = r), u.__;
}
function P() {
	var n = y$2(t$1++, 11);
	if (!n.__) {
		for (var u = r$1.__v; !u.__m && u.__;) u = u.__;
		var i = u.__m || (u.__m = [0, 0]);
		n.__ = "P" + i[0] + "-" + i[1]++;
	}
	return n.__;
}
function g$2() {
	var n;
	do {
		for (; n = e$1.shift();) try {
			C(n);
		} catch (t) {
			a$2.__e(t, { __: (n = n.__P) && n.__v });
		}
		for (; n = c$1.shift();) {
			var t = n.__H;
			if (n.__P && t) try {
				t.__h.some(C), t.__h.some(D), t.__h = [];
			} catch (r) {
				t.__h = [], a$2.__e(r, n.__v);
			}
		}
	} while (e$1.length);
}
a$2.__b = function(n) {
	r$1 = null, v$1 && v$1(n);
}, a$2.__ = function(n, t) {
	n && t.__k && t.__k.__m && (n.__m = t.__k.__m), p$2 && p$2(n, t);
}, a$2.__r = function(n) {
	l$1 && l$1(n), t$1 = 0;
	var i = (r$1 = n.__c).__H;
	i && (u$2 == r$1 ? r$1.__h = [] : (i.__h.some(C), i.__h.some(D), t$1 = 0), i.__h = [], i.__.some(function(n) {
		n.__N && (n.__ = n.__N), n.u = n.__N = void 0;
	})), u$2 = r$1;
}, a$2.diffed = function(n) {
	m$2 && m$2(n);
	var t = n.__c;
	t && t.__H && (t.__H.__h.length && B(c$1.push(t)), t.__H.__.some(function(n) {
		n.u && (n.__H = n.u);
	})), u$2 = r$1 = null;
}, a$2.__c = function(n, t) {
	t.some(function(n) {
		try {
			n.__h.some(C), n.__h = n.__h.filter(function(n) {
				return !n.__ || D(n);
			});
		} catch (t) {
			n.__h = [function() {
				throw t;
			}];
		}
	}), h$2 && h$2(n, t);
}, a$2.unmount = function(n) {
	s$1 && s$1(n);
	var t, r, u = n.__c;
	u && u.__H && (u.__H.__.some(function(u) {
		try {
			if (u.__P && u.__c) {
				if (void 0 === r) {
					for (r = n.__; r && (!r.__c || !r.__c.__P);) r = r.__;
					r = r && r.__c;
				}
				u.__P = r, B(e$1.push(u));
			} else C(u);
		} catch (n) {
			t = n;
		}
	}), u.__H = void 0, t && a$2.__e(t, u.__v));
};
var k$1 = "function" == typeof requestAnimationFrame;
function z(n) {
	var t, r = function() {
		clearTimeout(u), k$1 && cancelAnimationFrame(t), setTimeout(n);
	}, u = setTimeout(r, 35);
	k$1 && (t = requestAnimationFrame(r));
}
function B(n) {
	1 != n && i$1 == a$2.requestAnimationFrame || ((i$1 = a$2.requestAnimationFrame) || z)(g$2);
}
function C(n) {
	var t = r$1, u = n.__c;
	"function" == typeof u && (n.__c = void 0, u()), r$1 = t;
}
function D(n) {
	var t = r$1;
	n.__c = n.__(), r$1 = t;
}
function E(n, t) {
	return !n || n.length != t.length || t.some(function(t, r) {
		return !o$2(t, n[r]);
	});
}
function G(n, t) {
	return "function" == typeof t ? t(n) : t;
}
// node_modules/@preact/signals-core/dist/signals-core.module.js
var i = Symbol.for("preact-signals");
function t() {
	if (!(v > 1)) {
		var i, t = !1;
		(function() {
			var i = c;
			c = void 0;
			while (void 0 !== i) {
				var t = i.S;
				if (t.v === i.v) {
					for (var r = t.t; void 0 !== r; r = r.x) if (r.i === i.i) r.i = t.i;
				}
				i = i.o;
			}
		})();
		while (void 0 !== h$1) {
			var r = h$1;
			h$1 = void 0;
			s++;
			while (void 0 !== r) {
				var n = r.u;
				r.u = void 0;
				r.f &= -3;
				if (!(8 & r.f) && w$1(r)) try {
					r.c();
				} catch (r) {
					if (!t) {
						i = r;
						t = !0;
					}
				}
				r = n;
			}
		}
		s = 0;
		v--;
		if (t) throw i;
	} else v--;
}
function r(i) {
	if (v > 0) return i();
	u$1 = ++e;
	v++;
	try {
		return i();
	} finally {
		t();
	}
}
var n;
var o$1 = void 0;
function f$1(i) {
	var t = o$1, r = n;
	o$1 = void 0;
	n = void 0;
	try {
		return i();
	} finally {
		o$1 = t;
		n = r;
	}
}
var h$1 = void 0;
var v = 0;
var s = 0;
var e = 0;
var u$1 = 0;
var c = void 0;
var a$1 = 0;
function d$1(i) {
	if (void 0 !== o$1) {
		var t = i.n;
		if (void 0 === t || t.t !== o$1) {
			t = {
				i: 0,
				S: i,
				p: o$1.s,
				n: void 0,
				t: o$1,
				e: void 0,
				x: void 0,
				r: t
			};
			if (void 0 !== o$1.s) o$1.s.n = t;
			o$1.s = t;
			i.n = t;
			if (32 & o$1.f) i.S(t);
			return t;
		} else if (-1 === t.i) {
			t.i = 0;
			if (void 0 !== t.n) {
				t.n.p = t.p;
				if (void 0 !== t.p) t.p.n = t.n;
				t.p = o$1.s;
				t.n = void 0;
				o$1.s.n = t;
				o$1.s = t;
			}
			return t;
		}
	}
}
function l(i, t) {
	this.v = i;
	this.i = 0;
	this.n = void 0;
	this.t = void 0;
	this.l = 0;
	this.W = null == t ? void 0 : t.watched;
	this.Z = null == t ? void 0 : t.unwatched;
	this.name = null == t ? void 0 : t.name;
}
l.prototype.brand = i;
l.prototype.h = function() {
	return !0;
};
l.prototype.S = function(i) {
	var t = this, r = this.t;
	if (r !== i && void 0 === i.e) {
		i.x = r;
		this.t = i;
		if (void 0 !== r) r.e = i;
		else f$1(function() {
			var i;
			null == (i = t.W) || i.call(t);
		});
	}
};
l.prototype.U = function(i) {
	var t = this;
	if (void 0 !== this.t) {
		var r = i.e, n = i.x;
		if (void 0 !== r) {
			r.x = n;
			i.e = void 0;
		}
		if (void 0 !== n) {
			n.e = r;
			i.x = void 0;
		}
		if (i === this.t) {
			this.t = n;
			if (void 0 === n) f$1(function() {
				var i;
				null == (i = t.Z) || i.call(t);
			});
		}
	}
};
l.prototype.subscribe = function(i) {
	var t = this;
	return x(function() {
		var r = t.value;
		f$1(function() {
			return i(r);
		});
	}, { name: "sub" });
};
l.prototype.valueOf = function() {
	return this.value;
};
l.prototype.toString = function() {
	return this.value + "";
};
l.prototype.toJSON = function() {
	return this.value;
};
l.prototype.peek = function() {
	var i = this;
	return f$1(function() {
		return i.value;
	});
};
Object.defineProperty(l.prototype, "value", {
	get: function() {
		var i = d$1(this);
		if (void 0 !== i) i.i = this.i;
		return this.v;
	},
	set: function(i) {
		if (i !== this.v) {
			if (s > 100) throw new Error("Cycle detected");
			(function(i) {
				if (0 !== v && 0 === s) {
					if (i.l !== u$1) {
						i.l = u$1;
						c = {
							S: i,
							v: i.v,
							i: i.i,
							o: c
						};
					}
				}
			})(this);
			this.v = i;
			this.i++;
			a$1++;
			v++;
			try {
				for (var r = this.t; void 0 !== r; r = r.x) r.t.N();
			} finally {
				t();
			}
		}
	}
});
function y$1(i, t) {
	return new l(i, t);
}
function w$1(i) {
	for (var t = i.s; void 0 !== t; t = t.n) if (t.S.i !== t.i || !t.S.h() || t.S.i !== t.i) return !0;
	return !1;
}
function b$1(i) {
	for (var t = i.s; void 0 !== t; t = t.n) {
		var r = t.S.n;
		if (void 0 !== r) t.r = r;
		t.S.n = t;
		t.i = -1;
		if (void 0 === t.n) {
			i.s = t;
			break;
		}
	}
}
function _(i) {
	var t = i.s, r = void 0;
	while (void 0 !== t) {
		var n = t.p;
		if (-1 === t.i) {
			t.S.U(t);
			if (void 0 !== n) n.n = t.n;
			if (void 0 !== t.n) t.n.p = n;
		} else r = t;
		t.S.n = t.r;
		if (void 0 !== t.r) t.r = void 0;
		t = n;
	}
	i.s = r;
}
function j(i, t) {
	l.call(this, void 0, t);
	this.x = i;
	this.s = void 0;
	this.g = a$1 - 1;
	this.f = 4;
}
j.prototype = new l();
j.prototype.h = function() {
	this.f &= -3;
	if (1 & this.f) return !1;
	if (32 == (36 & this.f)) return !0;
	this.f &= -5;
	if (this.g === a$1) return !0;
	this.g = a$1;
	this.f |= 1;
	if (this.i > 0 && !w$1(this)) {
		this.f &= -2;
		return !0;
	}
	var i = o$1;
	try {
		b$1(this);
		o$1 = this;
		var t = this.x();
		if (16 & this.f || this.v !== t || 0 === this.i) {
			this.v = t;
			this.f &= -17;
			this.i++;
		}
	} catch (i) {
		this.v = i;
		this.f |= 16;
		this.i++;
	}
	o$1 = i;
	_(this);
	this.f &= -2;
	return !0;
};
j.prototype.S = function(i) {
	if (void 0 === this.t) {
		this.f |= 36;
		for (var t = this.s; void 0 !== t; t = t.n) t.S.S(t);
	}
	l.prototype.S.call(this, i);
};
j.prototype.U = function(i) {
	if (void 0 !== this.t) {
		l.prototype.U.call(this, i);
		if (void 0 === this.t) {
			this.f &= -33;
			for (var t = this.s; void 0 !== t; t = t.n) t.S.U(t);
		}
	}
};
j.prototype.N = function() {
	if (!(2 & this.f)) {
		this.f |= 6;
		for (var i = this.t; void 0 !== i; i = i.x) i.t.N();
	}
};
Object.defineProperty(j.prototype, "value", { get: function() {
	if (1 & this.f) throw new Error("Cycle detected");
	var i = d$1(this);
	this.h();
	if (void 0 !== i) i.i = this.i;
	if (16 & this.f) throw this.v;
	return this.v;
} });
function O(i, t) {
	return new j(i, t);
}
function p$1(i) {
	var r = i.j;
	i.j = void 0;
	if ("function" == typeof r) {
		v++;
		var n = o$1;
		o$1 = void 0;
		try {
			r();
		} catch (t) {
			i.f &= -2;
			i.f |= 8;
			g$1(i);
			throw t;
		} finally {
			o$1 = n;
			t();
		}
	}
}
function g$1(i) {
	for (var t = i.s; void 0 !== t; t = t.n) t.S.U(t);
	i.x = void 0;
	i.s = void 0;
	p$1(i);
}
function S(i) {
	if (o$1 !== this) throw new Error("Out-of-order effect");
	_(this);
	o$1 = i;
	this.f &= -2;
	try {
		if (8 & this.f) g$1(this);
	} finally {
		t();
	}
}
function m$1(i, t) {
	this.x = i;
	this.j = void 0;
	this.s = void 0;
	this.u = void 0;
	this.f = 32;
	this.name = null == t ? void 0 : t.name;
	if (n) n.push(this);
}
m$1.prototype.c = function() {
	var i = this.S();
	try {
		if (8 & this.f) return;
		if (void 0 === this.x) return;
		var t = this.x();
		if ("function" == typeof t) this.j = t;
	} finally {
		i();
	}
};
m$1.prototype.S = function() {
	if (1 & this.f) throw new Error("Cycle detected");
	this.f |= 1;
	this.f &= -9;
	p$1(this);
	b$1(this);
	v++;
	var i = o$1;
	o$1 = this;
	return S.bind(this, i);
};
m$1.prototype.N = function() {
	if (!(2 & this.f)) {
		this.f |= 2;
		this.u = h$1;
		h$1 = this;
	}
};
m$1.prototype.d = function() {
	this.f |= 8;
	if (!(1 & this.f)) g$1(this);
};
m$1.prototype.dispose = function() {
	this.d();
};
function x(i, t) {
	var r = new m$1(i, t);
	try {
		r.c();
	} catch (i) {
		r.d();
		throw i;
	}
	var n = r.d.bind(r);
	n[Symbol.dispose] = n;
	return n;
}
// node_modules/@preact/signals/dist/signals.module.js
var h;
var p;
var m = "undefined" != typeof window && !!window.__PREACT_SIGNALS_DEVTOOLS__;
var g = [];
x(function() {
	h = this.N;
})();
function b(i, n) {
	n$1[i] = n.bind(null, n$1[i] || function() {});
}
function y(i) {
	if (p) {
		var n = p;
		p = void 0;
		n();
	}
	p = i && i.S();
}
function w(i) {
	var n = this, r = i.data, t = useSignal(r);
	t.name = "ReactiveDom";
	t.value = r;
	var e = w$2(function() {
		var i = n, r = n.__v;
		while (r = r.__) if (r.__c) {
			r.__c.__$f |= 4;
			break;
		}
		var o = O(function() {
			var i = t.value.value;
			return 0 === i ? 0 : !0 === i ? "" : i || "";
		}), e = O(function() {
			return !Array.isArray(o.value) && !r$2(o.value);
		}), u = x(function() {
			this.N = M;
			if (e.value) {
				var n = o.value;
				if (i.__v && i.__v.__e && 3 === i.__v.__e.nodeType) i.__v.__e.data = n;
			}
		}), c = n.__$u.d;
		n.__$u.d = function() {
			u();
			c.call(this);
		};
		return [e, o];
	}, []), u = e[0], c = e[1];
	return u.value ? c.peek() : c.value;
}
w.displayName = "ReactiveTextNode";
Object.defineProperties(l.prototype, {
	constructor: {
		configurable: !0,
		value: k$2($, null).constructor
	},
	type: {
		configurable: !0,
		value: w
	},
	props: {
		configurable: !0,
		get: function() {
			var i = this;
			return { data: { get value() {
				return i.value;
			} } };
		}
	},
	__b: {
		configurable: !0,
		value: 1
	}
});
b("__b", function(i, n) {
	y();
	if ("string" == typeof n.type) {
		var r, t = n.props;
		for (var f in t) if ("children" !== f) {
			var o = t[f];
			if (o instanceof l) {
				if (!r) n.__np = r = {};
				r[f] = o;
				t[f] = o.peek();
			}
		}
	}
	i(n);
});
b("__r", function(i, r) {
	i(r);
	if (r.type !== $) {
		y();
		var t, f = r.__c;
		if (f) {
			f.__$f &= -2;
			if (void 0 === (t = f.__$u)) f.__$u = t = function(i, n) {
				var r;
				x(function() {
					r = this;
				}, { name: n });
				r.c = i;
				return r;
			}(function(i) {
				return function() {
					var n;
					if (m) null == (n = this.y) || n.call(this);
					i.__$f |= 1;
					i.setState({});
				};
			}(f), "function" == typeof r.type ? r.type.displayName || r.type.name : "");
		}
		y(t);
	}
});
b("__e", function(i, n, r, t) {
	y();
	i(n, r, t);
});
b("diffed", function(i, n) {
	y();
	var r;
	if ("string" == typeof n.type && (r = n.__e)) {
		var t = n.__np, f = n.props, o = r.U;
		if (o) for (var e in o) {
			var u = o[e];
			if (!(void 0 === u || t && e in t)) {
				u.d();
				o[e] = void 0;
			}
		}
		if (t) {
			if (!o) {
				o = {};
				r.U = o;
			}
			for (var a in t) {
				var c = o[a], v = t[a];
				if (void 0 === c) {
					c = k(r, a, v, f);
					o[a] = c;
				} else c.o(v, f);
			}
		}
	}
	i(n);
});
function k(i, n, r, t) {
	var f = n in i && void 0 === i.ownerSVGElement, o = y$1(r);
	return {
		o: function(i, n) {
			o.value = i;
			t = n;
		},
		d: x(function() {
			this.N = M;
			var r = o.value.value;
			if (t[n] !== r) {
				t[n] = r;
				if (f) i[n] = r;
				else if (null != r && (!1 !== r || "-" === n[4])) i.setAttribute(n, r);
				else i.removeAttribute(n);
			}
		})
	};
}
b("unmount", function(i, n) {
	if ("string" == typeof n.type) {
		var r = n.__e;
		if (r) {
			var t = r.U;
			if (t) {
				r.U = void 0;
				for (var f in t) {
					var o = t[f];
					if (o) o.d();
				}
			}
		}
		var e = n.__np;
		if (e) {
			var u = n.props;
			for (var a in e) u[a] = e[a];
		}
		n.__np = void 0;
	} else {
		var c = n.__c;
		if (c) {
			c.__$f |= 8;
			var v = c.__$u;
			if (v) {
				c.__$u = void 0;
				v.d();
			}
		}
	}
	i(n);
});
b("__h", function(i, n, r, t) {
	if (t < 3) n.__$f |= 2;
	i(n, r, t);
});
x$1.prototype.shouldComponentUpdate = function(i, n) {
	if (this.__R) return !0;
	var r = this.__$u, t = r && void 0 !== r.s;
	for (var f in n) return !0;
	if (this.__f || "boolean" == typeof this.u && !0 === this.u) {
		var o = 2 & this.__$f;
		if (!(t || o || 4 & this.__$f)) return !0;
		if (1 & this.__$f) return !0;
	} else {
		if (!(t || 4 & this.__$f)) return !0;
		if (3 & this.__$f) return !0;
	}
	for (var e in i) if ("__source" !== e && i[e] !== this.props[e]) return !0;
	for (var u in this.props) if (!(u in i)) return !0;
	return !1;
};
function useSignal(i, n) {
	return w$2(function() {
		return y$1(i, n);
	}, []);
}
var A = function(i) {
	queueMicrotask(function() {
		queueMicrotask(i);
	});
};
function F() {
	r(function() {
		var i;
		while (i = g.shift()) h.call(i);
	});
}
function M() {
	if (1 === g.push(this)) (n$1.requestAnimationFrame || A)(F);
}
// src/names.ts
/** Forms of a name from the full one to the barest, without repetitions. */
function shorten(name) {
	const local = stripArguments(stripGenerics(name)).replace(/^[^(<]*\/(?=[^/\s]+)/, "");
	const owned = local.includes("::") ? lastParts(local, "::", 2) : lastParts(local, ".", 2);
	const bare = local.includes("::") ? lastParts(local, "::", 1) : lastParts(local, ".", 1);
	const forms = [];
	for (const form of [
		name,
		local,
		owned,
		bare
	]) if (form !== "" && form !== forms[forms.length - 1]) forms.push(form);
	return forms.length > 0 ? forms : [name];
}
/** The form for lists: without directories and type arguments, still naming package or type. */
function listName(name) {
	return stripArguments(stripGenerics(name)).replace(/^[^(<]*\/(?=[^/\s]+)/, "") || name;
}
/** The package, module or class of a name, so that related functions share a colour. */
function scopeOf(name) {
	const plain = stripGenerics(name);
	const colons = plain.lastIndexOf("::");
	if (colons > 0) return plain.slice(0, colons);
	return /^(.*\/[^./(]+|[^.(]+(?=\.)|[a-z]+(?=_))/.exec(plain)?.[1] ?? plain;
}
function lastParts(name, separator, count) {
	return splitOutsideParentheses(name, separator).slice(-count).join(separator);
}
function splitOutsideParentheses(name, separator) {
	const parts = [];
	let depth = 0;
	let start = 0;
	for (let at = 0; at < name.length; at++) {
		const char = name[at];
		if (char === "(") depth++;
		else if (char === ")") depth--;
		else if (depth === 0 && at > start && name.startsWith(separator, at) && at + separator.length < name.length) {
			parts.push(name.slice(start, at));
			start = at + separator.length;
			at = start - 1;
		}
	}
	parts.push(name.slice(start));
	return parts;
}
/**
* A name without balanced `<…>`; `<A as B>::c` becomes `A::c`. Operators such as `operator<` and
* `operator->` leave brackets unbalanced: then the name stays as it is.
*/
function stripGenerics(name) {
	if (!name.includes("<")) return name;
	const qualified = /^<(.+?) as .+>::/.exec(name);
	let source = name;
	if (qualified) {
		const close = closingBracket(name, 0);
		if (close > 0) source = `${qualified[1]}${name.slice(close + 1)}`;
	} else if (name.startsWith("<")) {
		const close = closingBracket(name, 0);
		if (close > 0) source = name.slice(1, close) + name.slice(close + 1);
	}
	let out = "";
	let depth = 0;
	for (const char of source) {
		if (char === "<") depth++;
		else if (char === ">") depth--;
		else if (depth === 0) out += char;
		if (depth < 0) return name;
	}
	return depth === 0 ? out.replace(/::$/, "").replace("::::", "::") : name;
}
function closingBracket(name, open) {
	let depth = 0;
	for (let at = open; at < name.length; at++) if (name[at] === "<") depth++;
	else if (name[at] === ">" && name[at - 1] !== "-" && --depth === 0) return at;
	return -1;
}
/** Drops the parameter list of a C++ name; Go's receivers `(*T)` stay. */
function stripArguments(name) {
	if (!name.endsWith(")") && !name.endsWith(") const")) return name;
	let depth = 0;
	for (let at = name.lastIndexOf(")"); at >= 0; at--) if (name[at] === ")") depth++;
	else if (name[at] === "(" && --depth === 0) {
		const before = name[at - 1];
		return at > 0 && before !== "." && before !== "/" ? name.slice(0, at) : name;
	}
	return name;
}
/** FNV-1a, 32 bits; `seed` gives independent hashes of the same text. */
function hashText(text, seed = 0) {
	let hash = 2166136261 ^ seed;
	for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
	return hash >>> 0;
}
// src/flame/labels.ts
var ELLIPSIS_PX = 8;
var WIDE_PX = 8;
var LabelFitter = class {
	widths = (/* @__PURE__ */ new Float32Array(127)).fill(WIDE_PX);
	forms = [];
	/** Measures the font; call again when fonts arrive. */
	measure(context, font) {
		context.font = font;
		for (let code = 32; code < 127; code++) this.widths[code] = context.measureText(String.fromCharCode(code)).width;
	}
	/** Forgets the forms of the last model's names. */
	reset() {
		this.forms.length = 0;
	}
	fit(names, id, width) {
		const forms = this.forms[id] ??= shorten(names[id] ?? "");
		for (const form of forms) if (this.charsThatFit(form, width) === form.length) return form;
		const barest = forms[forms.length - 1] ?? "";
		const length = this.charsThatFit(barest, width - ELLIPSIS_PX);
		return length > 1 ? `${barest.slice(0, length)}…` : "";
	}
	charsThatFit(text, width) {
		let used = 0;
		for (let at = 0; at < text.length; at++) {
			used += this.widths[text.charCodeAt(at)] ?? WIDE_PX;
			if (used > width) return at;
		}
		return text.length;
	}
};
// src/flame/palette.ts
var SHADES = 8;
/** Hue range in degrees and chroma by layer: app, library, runtime, native, kernel. */
var HUES = [
	[
		38,
		62,
		.125
	],
	[
		88,
		98,
		.105
	],
	[
		285,
		300,
		.09
	],
	[
		190,
		205,
		.085
	],
	[
		245,
		255,
		.055
	]
];
/** Where in `Palette.fills` a colour stands; the first three are followed by all other shades. */
var FILL = {
	full: 0,
	dim: 40,
	/** Runs of frames too narrow to tell apart. */
	sliver: 80,
	/** The root, which is no function. */
	root: 120,
	rootDim: 121,
	/** Runs with and without a match inside. */
	sliverHit: 122,
	sliverMiss: 123
};
/** The shade index of a name. */
function shadeOf(name, layer) {
	return Math.min(layer, 4) * SHADES + hashText(scopeOf(name)) % SHADES;
}
function makePalette(theme) {
	const dark = theme === "dark";
	const ground = dark ? [
		16,
		19,
		26
	] : [
		255,
		255,
		255
	];
	const shades = layerShades(dark);
	const blend = (amount) => shades.map((color) => css(mix$1(color, ground, amount)));
	return {
		background: css(ground),
		fills: [
			...shades.map(css),
			...blend(dark ? .78 : .72),
			...blend(dark ? .66 : .6),
			...dark ? [
				"#8f98a9",
				"#262c38",
				"#ff8a3d",
				"#252b38"
			] : [
				"#c9ced8",
				"#eceef2",
				"#d9590a",
				"#e4e7ee"
			]
		],
		label: "#15171d",
		dimLabel: dark ? "#858da0" : "#8a90a0",
		hoverOutline: dark ? "#ffffff" : "#000000",
		selectOutline: dark ? "#ffd166" : "#8a3b00"
	};
}
function layerShades(dark) {
	const shades = [];
	for (const [from, to, chroma] of HUES) for (let shade = 0; shade < SHADES; shade++) {
		const hue = from + (to - from) * shade / 7;
		const lightness = (dark ? .7 : .8) + shade * 5 % SHADES / 7 * .1;
		shades.push(oklch(lightness, chroma, hue));
	}
	return shades;
}
/** OKLCH to sRGB, 0 to 255 (B. Ottosson, "A perceptual color space for image processing"). */
function oklch(lightness, chroma, hue) {
	const a = chroma * Math.cos(hue * Math.PI / 180);
	const b = chroma * Math.sin(hue * Math.PI / 180);
	const l = (lightness + .3963377774 * a + .2158037573 * b) ** 3;
	const m = (lightness - .1055613458 * a - .0638541728 * b) ** 3;
	const s = (lightness - .0894841775 * a - 1.291485548 * b) ** 3;
	return [
		gamma(4.0767416621 * l - 3.3077115913 * m + .2309699292 * s),
		gamma(-1.2684380046 * l + 2.6097574011 * m - .3413193965 * s),
		gamma(-.0041960863 * l - .7034186147 * m + 1.707614701 * s)
	];
}
function gamma(linear) {
	const encoded = linear <= .0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - .055;
	return Math.round(255 * Math.max(0, Math.min(1, encoded)));
}
function mix$1(color, ground, amount) {
	const channel = (at) => Math.round(color[at] + (ground[at] - color[at]) * amount);
	return [
		channel(0),
		channel(1),
		channel(2)
	];
}
function css([red, green, blue]) {
	return `rgb(${red},${green},${blue})`;
}
/** Zooming in ends where the window shows this share of everything. */
var SPAN_MIN_SHARE = 1e-7;
var Viewport = class {
	left = 0;
	right = 1;
	top = 0;
	width = 1;
	height = 1;
	layout;
	constructor(layout) {
		this.layout = layout;
	}
	get span() {
		return this.right - this.left;
	}
	showAll(model) {
		this.left = 0;
		this.right = model.grandTotal;
		this.top = 0;
	}
	/** Moves to the value range, kept inside the profile. */
	setRange(model, left, right) {
		const smallest = model.grandTotal * SPAN_MIN_SHARE;
		const span = Math.max(smallest, Math.min(model.grandTotal, right - left));
		this.left = Math.max(0, Math.min(model.grandTotal - span, left));
		this.right = this.left + span;
	}
	setTop(model, top) {
		this.top = Math.max(0, Math.min(this.topMax(model), top));
	}
	/** Leaves one empty row below the deepest level. */
	topMax(model) {
		return Math.max(0, (model.depth - this.layout.firstLevel + 2) * 19 - this.height);
	}
	/** Zooms by `factor`, keeping the value under pixel `x` in place. */
	zoomAt(model, x, factor) {
		const span = Math.max(model.grandTotal * SPAN_MIN_SHARE, Math.min(model.grandTotal, this.span * factor));
		const left = this.left + x / this.width * this.span - x / this.width * span;
		this.setRange(model, left, left + span);
	}
	/** The top edge of a level in pixels. */
	levelY(level) {
		const offset = (level - this.layout.firstLevel) * 19 - this.top;
		return this.layout.flipped ? this.height - offset - 19 : offset;
	}
	levelAt(y) {
		const offset = (this.layout.flipped ? this.height - y : y) + this.top;
		return Math.floor(offset / 19) + this.layout.firstLevel;
	}
	/** First and last level that are at least partly visible. */
	visibleLevels(model) {
		const first = Math.floor(this.top / 19) + this.layout.firstLevel;
		const last = Math.ceil((this.top + this.height) / 19) + this.layout.firstLevel;
		return [Math.max(this.layout.firstLevel, first), Math.min(model.depth, last)];
	}
	/** The node under a pixel, or -1. */
	nodeAt(model, x, y) {
		const level = this.levelAt(y);
		if (level < this.layout.firstLevel || level > model.depth || x < 0 || x > this.width) return -1;
		const value = this.left + x / this.width * this.span;
		const index = firstEndingAfter(model, level, value);
		if (index >= model.levelOffsets[level + 1]) return -1;
		const node = model.levelNodes[index];
		return model.start[node] <= value ? node : -1;
	}
};
/** Index into levelNodes of the level's first node whose right edge is after `value`. */
function firstEndingAfter(model, level, value) {
	const { levelOffsets, levelNodes, start, total } = model;
	let low = levelOffsets[level];
	let high = levelOffsets[level + 1];
	while (low < high) {
		const middle = low + high >> 1;
		const node = levelNodes[middle];
		if (start[node] + total[node] <= value) low = middle + 1;
		else high = middle;
	}
	return low;
}
// src/flame/painter.ts
var FONT$1 = "11px Inter, \"Segoe UI\", Roboto, system-ui, sans-serif";
/** A run of slivers is cut here, so that a highlight inside it stays where it is. */
var RUN_MAX_PX = 200;
var LABEL_MIN_PX = 24;
var LABEL_INSET_PX = 4;
/** Rectangles by fill: x, y, width of one after the other. */
var Buckets = class {
	byFill = [];
	count = 0;
	add(fill, x, y, width) {
		(this.byFill[fill] ??= []).push(x, y, width);
		this.count++;
	}
	paint(context, fills) {
		this.byFill.forEach((rects, fill) => {
			context.fillStyle = fills[fill];
			for (let at = 0; at < rects.length; at += 3) {
				const width = rects[at + 2];
				context.fillRect(rects[at], rects[at + 1], width > 4 ? width - 1 : width, 18);
			}
		});
	}
};
function paint(context, scene, fitter) {
	const { model, viewport, palette } = scene;
	context.fillStyle = palette.background;
	context.fillRect(0, 0, viewport.width, viewport.height);
	const buckets = new Buckets();
	const labels = [];
	const [first, last] = viewport.visibleLevels(model);
	for (let level = first; level <= last; level++) collectLevel(scene, level, buckets, labels);
	buckets.paint(context, palette.fills);
	const drawnLabels = drawLabels(context, scene, labels, fitter);
	outline(context, scene, scene.hovered, palette.hoverOutline, 1.5);
	outline(context, scene, scene.selected, palette.selectOutline, 2);
	return {
		rects: buckets.count,
		labels: drawnLabels
	};
}
function collectLevel(scene, level, buckets, labels) {
	const { model, viewport, hits } = scene;
	const { levelNodes, levelOffsets, start, total, name } = model;
	const scale = viewport.width / viewport.span;
	const y = viewport.levelY(level);
	const dimLevel = scene.focus > 0 && level < model.level[scene.focus];
	const end = levelOffsets[level + 1];
	let index = firstEndingAfter(model, level, viewport.left);
	while (index < end) {
		const node = levelNodes[index];
		const left = (start[node] - viewport.left) * scale;
		if (left >= viewport.width) break;
		const right = left + total[node] * scale;
		if (right - left < scene.narrowPx) {
			index = collectSlivers(scene, index, end, y, buckets);
			continue;
		}
		const id = name[node];
		const dim = dimLevel || hits !== void 0 && hits[id] !== 1;
		const x = Math.max(0, left);
		const width = Math.min(viewport.width, right) - x;
		buckets.add(fillOf(scene, node, dim), x, y, width);
		if (width > LABEL_MIN_PX) labels.push({
			name: id,
			x,
			y,
			width,
			dim
		});
		index++;
	}
}
function fillOf({ model, shades }, node, dim) {
	if (node === 0) return dim ? FILL.rootDim : FILL.root;
	return (dim ? FILL.dim : FILL.full) + shades[model.name[node]];
}
/** Draws a run of neighbours narrower than a device pixel as one; returns the index after the run. */
function collectSlivers(scene, from, end, y, buckets) {
	const { model, viewport, shades, hits } = scene;
	const { levelNodes, start, total, name } = model;
	const scale = viewport.width / viewport.span;
	const first = levelNodes[from];
	const left = (start[first] - viewport.left) * scale;
	let right = left;
	let hit = false;
	let index = from;
	for (; index < end && right - left < RUN_MAX_PX; index++) {
		const node = levelNodes[index];
		const nodeLeft = (start[node] - viewport.left) * scale;
		const nodeWidth = total[node] * scale;
		if (index > from && (nodeLeft - right > 1.25 || nodeWidth >= scene.narrowPx || nodeLeft > viewport.width)) break;
		const nodeHit = hits !== void 0 && hits[name[node]] === 1;
		if (nodeHit !== hit && index > from && right - left >= 1) break;
		hit ||= nodeHit;
		right = nodeLeft + nodeWidth;
	}
	const fill = hits ? hit ? FILL.sliverHit : FILL.sliverMiss : FILL.sliver + shades[name[first]];
	buckets.add(fill, left, y, Math.max(hit ? 1.5 : .6, right - left));
	return index;
}
function drawLabels(context, { model, palette }, labels, fitter) {
	context.font = FONT$1;
	context.textBaseline = "middle";
	let drawn = 0;
	for (const dim of [false, true]) {
		context.fillStyle = dim ? palette.dimLabel : palette.label;
		for (const label of labels) {
			if (label.dim !== dim) continue;
			const text = fitter.fit(model.names, label.name, label.width - 8);
			if (text === "") continue;
			context.fillText(text, label.x + LABEL_INSET_PX, label.y + 19 / 2);
			drawn++;
		}
	}
	return drawn;
}
function outline(context, { model, viewport }, node, color, lineWidth) {
	if (node < 0 || model.level[node] < viewport.layout.firstLevel) return;
	const scale = viewport.width / viewport.span;
	const left = Math.max(-2, (model.start[node] - viewport.left) * scale);
	const right = Math.min(viewport.width + 2, (model.start[node] + model.total[node] - viewport.left) * scale);
	if (right < 0 || left > viewport.width) return;
	context.strokeStyle = color;
	context.lineWidth = lineWidth;
	const inset = lineWidth / 2;
	const y = viewport.levelY(model.level[node]);
	context.strokeRect(left + inset, y + inset, Math.max(1, right - left - 1 - lineWidth), 18 - lineWidth);
}
// src/flame/walk.ts
/** The callee with the largest total: following it walks the hot path. */
function hottestChild({ total, end }, node) {
	let best = node;
	for (let child = node + 1; child < end[node]; child = end[child]) if (best === node || total[child] > total[best]) best = child;
	return best;
}
function rightSibling({ nodeCount, level, end }, node) {
	const next = end[node];
	return next < nodeCount && level[next] === level[node] ? next : node;
}
function leftSibling({ parent, end }, node) {
	const caller = parent[node];
	if (caller < 0) return node;
	let left = node;
	for (let child = caller + 1; child < node; child = end[child]) left = child;
	return left;
}
// src/flame/chart.ts
var TWEEN_MS = 170;
var DRAG_MIN_PX = 4;
var PAINT_TIMES_MAX = 600;
var FlameChart = class {
	host;
	events;
	canvas = document.createElement("canvas");
	viewport;
	drawn = {
		rects: 0,
		labels: 0
	};
	/** Milliseconds of the last paints, for measurements. */
	paintTimes = [];
	model;
	selected = -1;
	focus = 0;
	context;
	fitter = new LabelFitter();
	observer;
	palette = makePalette("dark");
	shades = /* @__PURE__ */ new Uint8Array();
	hits;
	hovered = -1;
	tween;
	drag;
	frame = 0;
	pointer;
	constructor(host, events, layout) {
		this.host = host;
		this.events = events;
		this.viewport = new Viewport(layout);
		const context = this.canvas.getContext("2d", { alpha: false });
		if (!context) throw new Error("this browser has no 2D canvas");
		this.context = context;
		this.canvas.className = "flame-canvas";
		this.canvas.tabIndex = 0;
		this.canvas.setAttribute("role", "img");
		host.append(this.canvas);
		this.fitter.measure(context, FONT$1);
		this.listen();
		this.observer = new ResizeObserver(() => this.resize());
		this.observer.observe(host);
		document.fonts.ready.then(() => {
			this.fitter.measure(context, FONT$1);
			this.draw();
		});
	}
	dispose() {
		this.observer.disconnect();
		cancelAnimationFrame(this.frame);
		this.canvas.remove();
	}
	/**
	* Shows a model with `focus` filling the width, without animation. `keepView` is for newer data of
	* the same question: what the reader panned and zoomed to stays, relative to the focus.
	*/
	setModel(model, focus, keepView) {
		const view = keepView ? this.relativeView() : null;
		this.model = model;
		this.shades = Uint8Array.from(model.names, (name, id) => shadeOf(name, model.layers[id] ?? 0));
		this.fitter.reset();
		this.hovered = -1;
		this.selected = -1;
		this.tween = void 0;
		const { top } = this.viewport;
		this.viewport.showAll(model);
		this.focus = Math.max(0, focus);
		const target = this.focusTarget(model, this.focus);
		const span = target.right - target.left;
		const { left, right } = view ?? {
			left: 0,
			right: 1
		};
		this.viewport.setRange(model, target.left + left * span, target.left + right * span);
		this.viewport.setTop(model, view ? top : target.top);
		this.hoverAgain(model);
		this.draw();
	}
	/** The visible range in units of the focused frame, or null while there is nothing to keep. */
	relativeView() {
		const { model, viewport, focus } = this;
		const width = model?.total[focus] ?? 0;
		if (!model || !(width > 0) || this.tween) return null;
		const start = model.start[focus];
		return {
			left: (viewport.left - start) / width,
			right: (viewport.right - start) / width
		};
	}
	/** The pointer rests where it was, over another model. */
	hoverAgain(model) {
		if (!this.pointer) return;
		const { x, y, clientX, clientY } = this.pointer;
		this.hovered = this.viewport.nodeAt(model, x, y);
		this.events.hover(this.hovered, clientX, clientY);
	}
	setTheme(theme) {
		this.palette = makePalette(theme);
		this.draw();
	}
	setHits(hits) {
		if (hits === this.hits) return;
		this.hits = hits;
		this.draw();
	}
	/** What assistive software says; `describedBy` is the id of a live text about the selected frame. */
	setLabel(label, describedBy) {
		this.canvas.setAttribute("aria-label", label);
		this.canvas.setAttribute("aria-describedby", describedBy);
	}
	setSelected(node) {
		if (node === this.selected) return;
		this.selected = node;
		this.draw();
	}
	/** Moves until `node` fills the width. */
	focusOn(node) {
		const { model, viewport } = this;
		if (!model || node === this.focus && !this.isPanned(model)) return;
		this.focus = node;
		const { left, right, top } = viewport;
		this.tween = {
			began: performance.now(),
			from: {
				left,
				right,
				top
			},
			to: this.focusTarget(model, node)
		};
		if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.tween.began -= TWEEN_MS;
		this.draw();
	}
	/** Brings a node into view unless it is; what fills the width stays where possible. */
	bringIntoView(node) {
		const { model } = this;
		if (!model || node < 0 || this.viewport.width < 2 || this.centreOf(node) !== null) return;
		this.reveal(model, node);
		this.draw();
	}
	/** The centre of the node in canvas pixels, or null if it is out of sight. */
	centreOf(node) {
		const { model, viewport } = this;
		if (!model) return null;
		const scale = viewport.width / viewport.span;
		const left = Math.max(0, (model.start[node] - viewport.left) * scale);
		const right = Math.min(viewport.width, (model.start[node] + model.total[node] - viewport.left) * scale);
		const y = viewport.levelY(model.level[node]) + 19 / 2;
		return right - left >= 1 && y > 0 && y < viewport.height ? {
			x: (left + right) / 2,
			y
		} : null;
	}
	draw() {
		if (this.frame !== 0) return;
		this.frame = requestAnimationFrame(() => {
			this.frame = 0;
			this.paintNow();
		});
	}
	paintNow() {
		const { model, viewport, context } = this;
		if (!model || viewport.width < 2) return;
		const began = performance.now();
		this.stepTween(model, began);
		const ratio = devicePixelRatio || 1;
		context.setTransform(ratio, 0, 0, ratio, 0, 0);
		const { palette, shades, hits, focus, hovered, selected } = this;
		const scene = {
			model,
			viewport,
			palette,
			shades,
			hits,
			focus,
			hovered,
			selected,
			narrowPx: 1 / ratio
		};
		this.drawn = paint(context, scene, this.fitter);
		this.paintTimes.push(performance.now() - began);
		if (this.paintTimes.length > PAINT_TIMES_MAX) this.paintTimes.shift();
	}
	stepTween(model, now) {
		const { tween, viewport } = this;
		if (!tween) return;
		const progress = Math.min(1, (now - tween.began) / TWEEN_MS);
		const eased = 1 - (1 - progress) ** 3;
		const between = (from, to) => from + (to - from) * eased;
		viewport.setRange(model, between(tween.from.left, tween.to.left), between(tween.from.right, tween.to.right));
		viewport.setTop(model, between(tween.from.top, tween.to.top));
		if (progress < 1) this.draw();
		else this.tween = void 0;
	}
	focusTarget(model, node) {
		const left = model.start[node];
		const right = left + model.total[node];
		const offset = (model.level[node] - this.viewport.layout.firstLevel) * 19;
		const { top, height } = this.viewport;
		const inUpperHalf = offset >= top && offset < top + height / 2;
		const wanted = node === 0 ? 0 : inUpperHalf ? top : Math.max(0, offset - 57);
		return {
			left,
			right,
			top: Math.min(this.viewport.topMax(model), wanted)
		};
	}
	isPanned(model) {
		const target = this.focusTarget(model, this.focus);
		return this.viewport.left !== target.left || this.viewport.right !== target.right;
	}
	resize() {
		const { width, height } = this.host.getBoundingClientRect();
		const ratio = devicePixelRatio || 1;
		this.viewport.width = Math.max(1, width);
		this.viewport.height = Math.max(1, height);
		this.canvas.width = Math.round(width * ratio);
		this.canvas.height = Math.round(height * ratio);
		this.canvas.style.width = `${width}px`;
		this.canvas.style.height = `${height}px`;
		if (this.model) this.viewport.setTop(this.model, this.viewport.top);
		this.paintNow();
	}
	listen() {
		const { canvas } = this;
		canvas.addEventListener("pointerdown", (event) => this.onPointerDown(event));
		canvas.addEventListener("pointermove", (event) => this.onPointerMove(event));
		canvas.addEventListener("pointerup", () => this.endDrag());
		canvas.addEventListener("pointercancel", () => this.drag = void 0);
		canvas.addEventListener("pointerleave", () => {
			this.pointer = void 0;
			this.hoverOver(-1, 0, 0);
		});
		canvas.addEventListener("click", (event) => this.onClick(event));
		canvas.addEventListener("dblclick", () => this.model && this.events.focus(0, this.model));
		canvas.addEventListener("contextmenu", (event) => this.onContextMenu(event));
		canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
		canvas.addEventListener("keydown", (event) => this.onKey(event));
	}
	nodeAt(event) {
		return this.model ? this.viewport.nodeAt(this.model, event.offsetX, event.offsetY) : -1;
	}
	hoverOver(node, x, y) {
		if (node !== this.hovered) {
			this.hovered = node;
			this.draw();
		}
		this.events.hover(node, x, y);
	}
	onPointerDown(event) {
		if (event.button !== 0) return;
		const { left, right, top } = this.viewport;
		this.drag = {
			pointer: event.pointerId,
			x: event.clientX,
			y: event.clientY,
			left,
			right,
			top,
			moved: false
		};
	}
	onPointerMove(event) {
		if (this.drag) this.pan(event, this.drag);
		else if (event.pointerType !== "touch") {
			this.pointer = {
				x: event.offsetX,
				y: event.offsetY,
				clientX: event.clientX,
				clientY: event.clientY
			};
			this.hoverOver(this.nodeAt(event), event.clientX, event.clientY);
		}
	}
	pan(event, drag) {
		const { model, viewport } = this;
		const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
		if (!model || !drag.moved && Math.abs(dx) + Math.abs(dy) < DRAG_MIN_PX) return;
		if (!drag.moved) {
			drag.moved = true;
			this.tween = void 0;
			this.canvas.setPointerCapture(drag.pointer);
			this.hoverOver(-1, 0, 0);
		}
		const shift = dx * (drag.right - drag.left) / viewport.width;
		viewport.setRange(model, drag.left - shift, drag.right - shift);
		viewport.setTop(model, drag.top + (viewport.layout.flipped ? dy : -dy));
		this.draw();
	}
	/** The drag ends after the click event that follows it, which must know it was one. */
	endDrag() {
		setTimeout(() => this.drag = void 0);
	}
	onClick(event) {
		if (this.drag?.moved) return;
		const node = this.nodeAt(event);
		if (node < 0 || !this.model) return;
		this.selected = node;
		this.events.select(node);
		this.events.focus(node, this.model);
	}
	onContextMenu(event) {
		const node = this.nodeAt(event);
		if (node <= 0) return;
		event.preventDefault();
		this.events.sandwich(node);
	}
	/** Ctrl zooms at the pointer, Shift or a sideways wheel pans, a plain wheel scrolls the stack. */
	onWheel(event) {
		const { model, viewport } = this;
		if (!model) return;
		const { deltaX, deltaY } = event;
		const before = viewport.top;
		this.tween = void 0;
		if (event.ctrlKey || event.metaKey || event.altKey) viewport.zoomAt(model, event.offsetX, Math.exp(deltaY * .0022));
		else if (event.shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) {
			const shift = (deltaX || deltaY) / viewport.width * viewport.span;
			viewport.setRange(model, viewport.left + shift, viewport.right + shift);
		} else {
			viewport.setTop(model, before + (viewport.layout.flipped ? -deltaY : deltaY));
			if (viewport.top === before) return;
		}
		event.preventDefault();
		this.hoverOver(this.nodeAt(event), event.clientX, event.clientY);
		this.draw();
	}
	onKey(event) {
		const { model } = this;
		if (!model || event.ctrlKey || event.metaKey || event.altKey) return;
		const at = this.selected >= 0 ? this.selected : this.focus;
		const flipped = this.viewport.layout.flipped;
		const action = {
			[flipped ? "ArrowDown" : "ArrowUp"]: () => this.choose(model, Math.max(0, model.parent[at])),
			[flipped ? "ArrowUp" : "ArrowDown"]: () => this.choose(model, hottestChild(model, at)),
			ArrowRight: () => this.choose(model, rightSibling(model, at)),
			ArrowLeft: () => this.choose(model, leftSibling(model, at)),
			Enter: () => this.events.focus(at, model),
			Escape: () => this.events.focus(0, model),
			Home: () => this.choose(model, 0),
			s: () => this.events.sandwich(at),
			"+": () => this.zoomCentre(model, .75),
			"=": () => this.zoomCentre(model, .75),
			"-": () => this.zoomCentre(model, 1 / .75)
		}[event.key];
		if (!action) return;
		event.preventDefault();
		action();
	}
	zoomCentre(model, factor) {
		this.viewport.zoomAt(model, this.viewport.width / 2, factor);
		this.draw();
	}
	choose(model, node) {
		this.selected = node;
		this.events.select(node);
		this.reveal(model, node);
		this.draw();
	}
	/** Scrolls and, if the frame would be too narrow to see, zooms until it is visible. */
	reveal(model, node) {
		const { viewport } = this;
		this.tween = void 0;
		const y = (model.level[node] - viewport.layout.firstLevel) * 19;
		if (y < viewport.top) viewport.setTop(model, y);
		else if (y > viewport.top + viewport.height - 38) viewport.setTop(model, y - viewport.height + 57);
		const left = model.start[node];
		const width = model.total[node];
		const hidden = left + width < viewport.left || left > viewport.right;
		const narrow = width < viewport.span * .002;
		if (!hidden && !narrow) return;
		const span = narrow ? width * 12 : viewport.span;
		viewport.setRange(model, left + width / 2 - span / 2, left + width / 2 + span / 2);
	}
};
// src/flame/model.ts
/** Lays out a tree. `columns` has at least the root, and levels never grow by more than one. */
function buildModel({ names, layers, name, level, self }) {
	const { parent, end, depth } = linkNodes(level);
	const total = sumUp(parent, self);
	const { levelOffsets, levelNodes } = indexLevels(level, depth);
	return {
		nodeCount: level.length,
		depth,
		names,
		layers,
		name,
		level,
		parent,
		end,
		self,
		total,
		start: placeNodes(parent, self, total),
		levelOffsets,
		levelNodes,
		grandTotal: total[0] ?? 0
	};
}
function linkNodes(level) {
	const count = level.length;
	const parent = new Int32Array(count);
	const end = new Uint32Array(count);
	const open = [];
	let depth = 0;
	for (let node = 0; node < count; node++) {
		const at = level[node];
		if (at > depth) depth = at;
		while (open.length > at) end[open.pop()] = node;
		parent[node] = at > 0 ? open[at - 1] : -1;
		open.push(node);
	}
	for (const node of open) end[node] = count;
	return {
		parent,
		end,
		depth
	};
}
function sumUp(parent, self) {
	const total = self.slice();
	for (let node = total.length - 1; node > 0; node--) total[parent[node]] += total[node];
	return total;
}
/** Children stand in order after their parent's own value. */
function placeNodes(parent, self, total) {
	const count = total.length;
	const start = new Float64Array(count);
	const nextChild = new Float64Array(count);
	for (let node = 0; node < count; node++) {
		const caller = parent[node];
		if (caller >= 0) {
			start[node] = nextChild[caller];
			nextChild[caller] += total[node];
		}
		nextChild[node] = start[node] + self[node];
	}
	return start;
}
function indexLevels(level, depth) {
	const levelOffsets = new Uint32Array(depth + 2);
	for (const at of level) levelOffsets[at + 1]++;
	for (let at = 0; at <= depth; at++) levelOffsets[at + 1] += levelOffsets[at];
	const next = levelOffsets.slice();
	const levelNodes = new Uint32Array(level.length);
	for (let node = 0; node < level.length; node++) levelNodes[next[level[node]]++] = node;
	return {
		levelOffsets,
		levelNodes
	};
}
/** The function's name at a node. */
function nodeName(model, node) {
	return model.names[model.name[node]] ?? "";
}
/** The node's path, root first. */
function pathOf(model, node) {
	const path = [];
	for (let at = node; at >= 0; at = model.parent[at]) path.push(at);
	return path.reverse();
}
// src/format.ts
function typeParts(type) {
	const [name = "", sample = "", unit = ""] = type.split(":");
	return {
		name,
		sample,
		unit
	};
}
var TYPE_LABELS = {
	"process_cpu:cpu": "CPU time",
	"process_cpu:samples": "CPU samples"
};
/** A profile type as people call it. */
function typeLabel(type) {
	const { name, sample } = typeParts(type);
	return TYPE_LABELS[`${name}:${sample}`] ?? `${name} · ${sample}`.replaceAll("_", " ");
}
/** True if dividing by elapsed time gives "cores in use". */
function isCpuTime(type) {
	const { sample, unit } = typeParts(type);
	return sample === "cpu" && unit === "nanoseconds";
}
/** A value with its unit, about three significant digits. */
function formatValue(unit, value) {
	if (unit === "nanoseconds") return formatNanoseconds(value);
	if (unit === "bytes") return formatBytes(value);
	return formatCount(value);
}
function formatNanoseconds(value) {
	const size = Math.abs(value);
	if (size >= 36e11) return `${(value / 36e11).toFixed(2)} h`;
	if (size >= 6e10) return `${(value / 6e10).toFixed(2)} min`;
	if (size >= 1e9) return `${(value / 1e9).toFixed(2)} s`;
	if (size >= 1e6) return `${(value / 1e6).toFixed(0)} ms`;
	if (size >= 1e3) return `${(value / 1e3).toFixed(0)} µs`;
	return `${value.toFixed(0)} ns`;
}
function formatBytes(value) {
	const units = [
		"B",
		"KiB",
		"MiB",
		"GiB",
		"TiB",
		"PiB"
	];
	let scaled = value;
	let unit = 0;
	while (Math.abs(scaled) >= 1024 && unit < units.length - 1) {
		scaled /= 1024;
		unit++;
	}
	return `${unit === 0 ? scaled.toFixed(0) : threeDigits(scaled)} ${units[unit]}`;
}
function formatCount(value) {
	const size = Math.abs(value);
	if (size >= 1e9) return `${threeDigits(value / 1e9)} G`;
	if (size >= 1e6) return `${threeDigits(value / 1e6)} M`;
	if (size >= 1e4) return `${threeDigits(value / 1e3)} k`;
	return Number.isInteger(value) ? value.toLocaleString("en") : threeDigits(value);
}
function threeDigits(value) {
	const size = Math.abs(value);
	return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
function formatCores(cores) {
	if (cores > 0 && cores < .01) return "<0.01";
	return threeDigits(cores);
}
/** `part` of `whole` in percent; a dash if there is no whole. */
function formatShare(part, whole) {
	if (!(whole > 0)) return "–";
	const percent = 100 * part / whole;
	return `${percent.toFixed(percent < 9.95 ? 2 : 1)}%`;
}
/** How long ago, or how long: `12 s`, `3 min`, `2.5 h`, `4 d`. */
function formatDuration(ms) {
	const seconds = Math.max(0, ms) / 1e3;
	if (seconds < 90) return `${Math.round(seconds)} s`;
	if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
	if (seconds < 172800) return `${trim(seconds / 3600)} h`;
	return `${trim(seconds / 86400)} d`;
}
function trim(value) {
	return value.toFixed(1).replace(/\.0$/, "");
}
var two = (value) => String(value).padStart(2, "0");
/** Local time of day, with seconds only where they say something. */
function formatClock(ms, withSeconds = false) {
	const date = new Date(ms);
	const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
	return withSeconds ? `${clock}:${two(date.getSeconds())}` : clock;
}
function formatDate(ms) {
	const date = new Date(ms);
	return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
function formatTimestamp(ms) {
	return `${formatDate(ms)} ${formatClock(ms, true)}`;
}
// src/layers.ts
var LAYERS = [
	"app",
	"library",
	"runtime",
	"native",
	"kernel"
];
/** One plain sentence per layer, for legends and tooltips. */
var LAYER_MEANING = {
	app: "the program itself",
	library: "shared libraries and packages",
	runtime: "language runtime and standard library",
	native: "C library, loader and vDSO",
	kernel: "the kernel"
};
function layerName(layer) {
	return LAYERS[layer] ?? "app";
}
/** The CSS custom property that holds a layer's colour. */
function layerColor(layer) {
	return `var(--layer-${layerName(layer)})`;
}
// src/flame/decode.ts
var HEADER_BYTES = 40;
var MAGIC = 827149382;
var NODES_MAX$1 = 4e6;
var DecodeError = class extends Error {
	name = "DecodeError";
};
/** Decodes and lays out a flame graph; throws DecodeError on anything that is not a whole FLM1. */
function decodeFlame(buffer) {
	const header = readHeader(buffer);
	const bytes = new Uint8Array(buffer);
	const { nodes, columnBytes, nameCount, nameBytes, quantum } = header;
	let at = HEADER_BYTES;
	const take = (length) => bytes.subarray(at, at += length);
	const levels = readVarints(take(columnBytes[0]), nodes, "levels");
	const nameIndexes = readVarints(take(columnBytes[1]), nodes, "name indexes");
	const selfs = readVarints(take(columnBytes[2]), nodes, "self values");
	const layers = take(nameCount).slice();
	const text = new TextDecoder().decode(take(nameBytes));
	const names = nameCount === 0 ? [] : text.split("\n");
	if (names.length !== nameCount) throw new DecodeError(`flame graph: ${names.length} names, expected ${nameCount}`);
	return buildModel({
		names,
		layers,
		level: absoluteLevels(levels),
		name: checkedNames(nameIndexes, nameCount),
		self: selfs.map((value) => value * quantum)
	});
}
function readHeader(buffer) {
	if (buffer.byteLength < HEADER_BYTES) throw new DecodeError(`flame graph: ${buffer.byteLength} bytes are too few`);
	const view = new DataView(buffer);
	if (view.getUint32(0, true) !== MAGIC) throw new DecodeError("flame graph: the answer is not FLM1");
	const version = view.getUint16(4, true);
	if (version !== 1) throw new DecodeError(`flame graph: version ${version} is unknown, expected 1; reload the page`);
	const nodes = view.getUint32(8, true);
	const columnBytes = [
		12,
		16,
		20
	].map((at) => view.getUint32(at, true));
	const nameCount = view.getUint32(24, true);
	const nameBytes = view.getUint32(28, true);
	if (nodes < 1 || nodes > NODES_MAX$1) throw new DecodeError(`flame graph: ${nodes} nodes, expected 1 to ${NODES_MAX$1}`);
	const expected = HEADER_BYTES + columnBytes[0] + columnBytes[1] + columnBytes[2] + nameCount + nameBytes;
	if (expected !== buffer.byteLength) throw new DecodeError(`flame graph: ${buffer.byteLength} bytes, expected ${expected}`);
	return {
		nodes,
		columnBytes,
		nameCount,
		nameBytes,
		quantum: view.getFloat64(32, true)
	};
}
/** Multiplies instead of shifting: self values can exceed 32 bits. */
function readVarints(bytes, count, what) {
	const values = new Float64Array(count);
	let at = 0;
	for (let index = 0; index < count; index++) {
		let value = 0;
		let scale = 1;
		let byte;
		do {
			if (at >= bytes.length || scale > 2 ** 63) throw new DecodeError(`flame graph: ${what} end early at node ${index}`);
			byte = bytes[at++];
			value += (byte & 127) * scale;
			scale *= 128;
		} while (byte & 128);
		values[index] = value;
	}
	if (at !== bytes.length) throw new DecodeError(`flame graph: ${bytes.length - at} bytes after the last ${what}`);
	return values;
}
function absoluteLevels(steps) {
	const level = new Uint16Array(steps.length);
	let previous = -1;
	for (let node = 0; node < steps.length; node++) {
		const next = previous + 1 - steps[node];
		if (next < (node === 0 ? 0 : 1) || next > 65535) throw new DecodeError(`flame graph: node ${node} has level ${next}`);
		level[node] = previous = next;
	}
	return level;
}
function checkedNames(indexes, nameCount) {
	for (let node = 0; node < indexes.length; node++) if (indexes[node] >= nameCount) throw new DecodeError(`flame graph: node ${node} has name ${indexes[node]} of ${nameCount}`);
	return Uint32Array.from(indexes);
}
// src/api.ts
var ApiError = class extends Error {
	failure;
	constructor(failure) {
		super(failure.message);
		this.failure = failure;
	}
};
var NODES_MAX = 1e5;
async function fetchTypes(range, signal) {
	return (await getJson("types", times(range), signal)).types;
}
function fetchOverview(type, range, signal) {
	return getJson("overview", {
		...times(range),
		type,
		points: "60"
	}, signal);
}
function fetchSeries(query, stepMs, by, signal) {
	return getJson("series", {
		...queryParameters(query),
		step: String(stepMs),
		by
	}, signal);
}
async function fetchFlame(query, signal) {
	const response = await get("flame", {
		...queryParameters(query),
		max_nodes: String(NODES_MAX)
	}, signal);
	try {
		return decodeFlame(await response.arrayBuffer());
	} catch (error) {
		if (error instanceof DecodeError) throw new ApiError({
			kind: "failed",
			message: error.message
		});
		throw error;
	}
}
async function fetchLabels(query, signal) {
	return (await getJson("labels", queryParameters(query), signal)).labels;
}
async function fetchLabelValues(name, query, signal) {
	return (await getJson(`labels/${encodeURIComponent(name)}/values`, queryParameters(query), signal)).values;
}
function fetchStatus(signal) {
	return getJson("status", {}, signal);
}
/** Code without names in the last hour. */
function fetchUnnamed(signal) {
	const now = Date.now();
	return getJson("unnamed", times({
		from: now - 36e5,
		to: now
	}), signal);
}
/** The address of a download. */
function exportUrl(query, format) {
	return address("export", {
		...queryParameters(query),
		format
	});
}
function times({ from, to }) {
	return {
		from: String(Math.round(from)),
		to: String(Math.round(to))
	};
}
function queryParameters({ q, type, range }) {
	return {
		q,
		type,
		...times(range)
	};
}
function address(path, parameters) {
	const query = new URLSearchParams(parameters).toString();
	return `./api/v1/${path}${query ? `?${query}` : ""}`;
}
async function getJson(path, parameters, signal) {
	const response = await get(path, parameters, signal);
	try {
		return await response.json();
	} catch (error) {
		if (signal.aborted) throw error;
		throw new ApiError({
			kind: "failed",
			message: `The answer to ${path} is not JSON.`
		});
	}
}
async function get(path, parameters, signal) {
	let response;
	try {
		response = await fetch(address(path, parameters), { signal });
	} catch (error) {
		if (signal.aborted) throw error;
		throw new ApiError({
			kind: "unreachable",
			message: "The server does not answer. Is it still running?"
		});
	}
	if (response.ok) return response;
	throw new ApiError({
		kind: response.status < 500 ? "rejected" : "failed",
		message: await errorMessage(response)
	});
}
/** The server's own words, if it sent any. */
async function errorMessage(response) {
	const text = await response.text().catch(() => "");
	try {
		const body = JSON.parse(text);
		if (typeof body === "object" && body !== null && "error" in body) return String(body.error);
	} catch {}
	return `The server answered ${response.status} ${response.statusText}`.trim();
}
// src/flame/functions.ts
/** Every function with a value. Recursion counts once: only the outermost call adds to the total. */
function functionRows(model) {
	const { nodeCount, names, name, level } = model;
	const self = new Float64Array(names.length);
	const total = new Float64Array(names.length);
	const openCalls = new Uint32Array(names.length);
	const stack = new Uint32Array(model.depth + 1);
	let stackTop = 0;
	for (let node = 1; node < nodeCount; node++) {
		const at = level[node];
		while (stackTop >= at) openCalls[name[stack[stackTop--]]]--;
		const id = name[node];
		self[id] += model.self[node];
		if (openCalls[id] === 0) total[id] += model.total[node];
		openCalls[id]++;
		stack[stackTop = at] = node;
	}
	const rows = [];
	for (let id = 0; id < names.length; id++) if (total[id] > 0) rows.push({
		id,
		name: names[id],
		self: self[id],
		total: total[id]
	});
	return rows;
}
/** A sorted copy; equal values stand by name, so that the order never depends on the tree. */
function sortRows(rows, by) {
	const byName = (a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
	if (by === "name") return rows.slice().sort(byName);
	return rows.slice().sort((a, b) => b[by] - a[by] || byName(a, b));
}
// src/flame/search.ts
/** The pattern as a case-insensitive regular expression, or null if it is not one. */
function compilePattern(pattern) {
	try {
		return new RegExp(pattern, "i");
	} catch {
		return null;
	}
}
function matchNames(model, pattern) {
	const hits = new Uint8Array(model.names.length);
	for (let id = 0; id < hits.length; id++) if (pattern.test(model.names[id])) hits[id] = 1;
	return hits;
}
/** Marks exactly one function. */
function matchOne(model, name) {
	const hits = new Uint8Array(model.names.length);
	const id = model.names.indexOf(name);
	if (id >= 0) hits[id] = 1;
	return hits;
}
/** The widest frame of a function, or -1. */
function widestFrame({ nodeCount, name, total }, id) {
	let best = -1;
	for (let node = 1; node < nodeCount; node++) if (name[node] === id && (best < 0 || total[node] > total[best])) best = node;
	return best;
}
/** The value below matching frames; a match inside a match is not counted again. */
function matchedTotal(model, hits) {
	let sum = 0;
	for (let node = 1; node < model.nodeCount;) if (hits[model.name[node]]) {
		sum += model.total[node];
		node = model.end[node];
	} else node++;
	return sum;
}
// src/resource.ts
var Resource = class {
	dataSignal = y$1(null);
	failureSignal = y$1(null);
	loadingSignal = y$1(false);
	staleSignal = y$1(false);
	running;
	refreshSignal = y$1(false);
	key = "";
	answeredKey;
	data = this.dataSignal;
	failure = this.failureSignal;
	loading = this.loadingSignal;
	/** True while the data shown answers another question than the one being loaded. */
	stale = this.staleSignal;
	/** True if the data is a newer answer to the same question. */
	isRefresh = this.refreshSignal;
	/**
	* Loads, giving up what is still under way. The data of the last answer stays meanwhile; `key`
	* says which question it answers, so that a mere refresh does not look like a change.
	*/
	load(key, fetcher) {
		this.running?.abort();
		const controller = this.running = new AbortController();
		r(() => {
			this.loadingSignal.value = true;
			if (key !== this.key) this.staleSignal.value = this.dataSignal.peek() !== null;
		});
		this.key = key;
		fetcher(controller.signal).then((data) => this.settle(controller, data, null), (error) => {
			if (!controller.signal.aborted) this.settle(controller, null, failureOf(error));
		});
	}
	settle(controller, data, failure) {
		if (controller !== this.running) return;
		r(() => {
			if (data !== null || failure?.kind !== "unreachable") this.dataSignal.value = data;
			this.failureSignal.value = failure;
			if (data !== null) {
				this.refreshSignal.value = this.key === this.answeredKey;
				this.answeredKey = this.key;
			}
			this.loadingSignal.value = false;
			this.staleSignal.value = false;
		});
	}
};
function failureOf(error) {
	if (error instanceof ApiError) return error.failure;
	return {
		kind: "failed",
		message: error instanceof Error ? error.message : String(error)
	};
}
// src/selector.ts
var OPERATORS = [
	"=",
	"!=",
	"=~",
	"!~"
];
var MATCHER = /\s*(?:([A-Za-z_][\w.]*)|"((?:[^"\\]|\\.)*)")\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/y;
/** The matchers of a selector with or without braces, or null if it is not one. */
function parseSelector(text) {
	const trimmed = text.trim();
	const inner = trimmed.startsWith("{") && trimmed.endsWith("}") && trimmed.length >= 2 ? trimmed.slice(1, -1).trim() : trimmed;
	const matchers = [];
	MATCHER.lastIndex = 0;
	while (MATCHER.lastIndex < inner.length) {
		const found = MATCHER.exec(inner);
		if (!found) return null;
		matchers.push({
			name: found[1] ?? unescape(found[2] ?? ""),
			operator: found[3],
			value: unescape(found[4] ?? "")
		});
	}
	return matchers;
}
/** The selector of these matchers; no matchers give the empty text, which selects everything. */
function formatSelector(matchers) {
	if (matchers.length === 0) return "";
	return `{${matchers.map(({ name, operator, value }) => `${isBareName(name) ? name : quote(name)}${operator}${quote(value)}`).join(", ")}}`;
}
/** The matchers with `name` pinned to `value`, replacing an earlier equality on the same label. */
function withEqual(matchers, name, value) {
	return [...matchers.filter((matcher) => !(matcher.name === name && matcher.operator === "=")), {
		name,
		operator: "=",
		value
	}];
}
/** The value `name` is pinned to, if it is. */
function equalTo(matchers, name) {
	return matchers?.find((matcher) => matcher.name === name && matcher.operator === "=")?.value;
}
function isBareName(name) {
	return /^[A-Za-z_]\w*$/.test(name);
}
function quote(text) {
	return `"${text.replace(/[\\"\n]/g, (char) => char === "\n" ? "\\n" : `\\${char}`)}"`;
}
function unescape(text) {
	return text.replace(/\\(.)/g, (_, char) => char === "n" ? "\n" : char === "t" ? "	" : char);
}
// src/url.ts
var PAGES$1 = [
	"fleet",
	"explore",
	"status"
];
var DEFAULTS = {
	page: "fleet",
	q: "",
	type: "",
	from: "now-15m",
	to: "now",
	sel: "",
	search: "",
	sort: "self",
	focus: "",
	fn: "",
	view: "flame",
	by: "",
	theme: "",
	live: "on"
};
var CHOICES = {
	sort: [
		"self",
		"total",
		"name"
	],
	view: ["flame", "sandwich"],
	theme: [
		"",
		"dark",
		"light"
	],
	live: ["on", "off"]
};
var PARAMETERS = Object.keys(DEFAULTS).filter((key) => key !== "page");
/** The state an address stands for. Unknown parameters and values are ignored. */
function parseUrl(path, query) {
	const parameters = new URLSearchParams(query);
	const state = {
		...DEFAULTS,
		page: pageOf(path)
	};
	for (const key of PARAMETERS) {
		const value = parameters.get(key);
		if (value !== null && (CHOICES[key]?.includes(value) ?? true)) state[key] = value;
	}
	return adoptClassicLink(state, parameters);
}
/** The address of a state, relative to the directory all pages are in. */
function formatUrl(state) {
	const parameters = new URLSearchParams();
	for (const key of PARAMETERS) if (state[key] !== DEFAULTS[key]) parameters.set(key, state[key]);
	const query = parameters.toString();
	return `./${state.page === "fleet" ? "" : state.page}${query ? `?${query}` : ""}`;
}
function pageOf(path) {
	const last = path.split("/").pop() ?? "";
	return PAGES$1.find((page) => page === last) ?? "fleet";
}
/** `/?query=<type>{<matchers>}&from=…&until=…`, as Pyroscope wrote its links. */
function adoptClassicLink(state, parameters) {
	const query = parameters.get("query");
	if (query === null) return state;
	const brace = query.indexOf("{");
	const type = brace < 0 ? query : query.slice(0, brace);
	const matchers = parseSelector(brace < 0 ? "" : query.slice(brace));
	return {
		...state,
		page: "explore",
		type,
		q: matchers ? formatSelector(matchers) : query.slice(brace),
		to: parameters.get("until") ?? state.to
	};
}
/** The marked part of the range, or null. */
function parseSelection(text) {
	const match = /^(\d{10,15})-(\d{10,15})$/.exec(text);
	if (!match) return null;
	const [from, to] = [Number(match[1]), Number(match[2])];
	return from < to ? {
		from,
		to
	} : null;
}
// src/time.ts
/** Samples are stored in slots of this length; steps are multiples of it. */
var SLOT_MS = 5e3;
var PRESETS = [
	{
		from: "now-5m",
		label: "Last 5 minutes"
	},
	{
		from: "now-15m",
		label: "Last 15 minutes"
	},
	{
		from: "now-1h",
		label: "Last hour"
	},
	{
		from: "now-4h",
		label: "Last 4 hours"
	},
	{
		from: "now-12h",
		label: "Last 12 hours"
	},
	{
		from: "now-24h",
		label: "Last 24 hours"
	},
	{
		from: "now-7d",
		label: "Last 7 days"
	},
	{
		from: "now-30d",
		label: "Last 30 days"
	}
];
var UNIT_MS = {
	s: 1e3,
	m: 6e4,
	h: 36e5,
	d: 864e5,
	w: 6048e5
};
/** Milliseconds since the epoch, or null if the text means no time. Bare seconds are accepted. */
function parseTime(text, now) {
	const relative = /^now(?:-(\d{1,6})([smhdw]))?$/.exec(text);
	if (relative) {
		const [, amount, unit] = relative;
		return amount === void 0 ? now : now - Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
	}
	if (!/^\d{1,16}$/.test(text)) return null;
	const value = Number(text);
	return value < 1e11 ? value * 1e3 : value;
}
function isRelative(from, to) {
	return from.startsWith("now") || to.startsWith("now");
}
/** The range from `from` to `to`; anything unusable falls back to the last 15 minutes. */
function resolveRange(from, to, now) {
	const end = parseTime(to, now) ?? now;
	const start = parseTime(from, now) ?? end - 9e5;
	return start < end ? {
		from: start,
		to: end
	} : {
		from: end - 9e5,
		to: end
	};
}
/** What the time picker's button says. */
function describeRange(from, to) {
	const preset = PRESETS.find((candidate) => candidate.from === from && to === "now");
	if (preset) return preset.label;
	if (from.startsWith("now-") && to === "now") return `Last ${from.slice(4)}`;
	if (isRelative(from, to)) return `${from} – ${to}`;
	return describeSpan(resolveRange(from, to, 0));
}
/** The same for narrow windows: `15m`, or times without dates. */
function shortRange(from, to) {
	if (from.startsWith("now-") && to === "now") return from.slice(4);
	const { from: start, to: end } = resolveRange(from, to, Date.now());
	return `${formatClock(start)} – ${formatClock(end)}`;
}
/** An absolute range; the date is left out where both ends are today's. */
function describeSpan({ from, to }) {
	const seconds = to - from < 6e5;
	const [startDate, endDate] = [formatDate(from), formatDate(to)];
	const start = formatClock(from, seconds);
	const end = formatClock(to, seconds);
	return startDate === endDate ? `${startDate} ${start} – ${end}` : `${startDate} ${start} – ${endDate} ${end}`;
}
var STEPS_MS = [
	5,
	10,
	15,
	30,
	60,
	120,
	300,
	600,
	900,
	1800,
	3600,
	7200,
	10800,
	21600,
	43200,
	86400
].map((seconds) => seconds * 1e3);
/** The shortest round step that covers the range with at most `points` points. */
function stepFor({ from, to }, points) {
	const wanted = (to - from) / points;
	return STEPS_MS.find((step) => step >= wanted) ?? Math.ceil(wanted / 864e5) * 864e5;
}
/** `now` rounded up to the end of its slot, so that the newest samples are inside the range. */
function slotEnd(now) {
	return Math.ceil(now / SLOT_MS) * SLOT_MS;
}
// src/state.ts
var THEME_KEY = "hearth-theme";
/** How often a live page loads again; a flame graph is heavier than a list. */
var REFRESH_MS = {
	fleet: 5e3,
	explore: 1e4,
	status: 5e3
};
var state = y$1(parseUrl(location.pathname, location.search));
/** Changes part of the state. `replace` is for steps nobody wants to go back through. */
function update(patch, history = "push") {
	const next = {
		...state.peek(),
		...patch
	};
	const url = formatUrl(next);
	if (url === formatUrl(state.peek())) return;
	if (history === "push") window.history.pushState(null, "", url);
	else window.history.replaceState(null, "", url);
	state.value = next;
}
/** One field, so that a component redraws only when that field changes. */
function field(key) {
	return O(() => state.value[key]);
}
var page = field("page");
var search = field("search");
/** What "now" means for relative ranges; moves only when something should be loaded again. */
var clock = y$1(slotEnd(Date.now()));
/** Counts refreshes; whoever loads something reads it, so that it loads again. */
var refreshes = y$1(0);
function refresh() {
	r(() => {
		clock.value = slotEnd(Date.now());
		refreshes.value++;
	});
}
/** The whole range the page is about. A range without relative ends ignores the clock. */
var range = stable(O(() => {
	const { from, to } = state.value;
	return resolveRange(from, to, isRelative(from, to) ? clock.value : 0);
}));
/** The part of the range that table and flame graph show. */
var selection = stable(O(() => parseSelection(state.value.sel) ?? range.value));
var isLive = O(() => state.value.live === "on" && isRelative(state.value.from, state.value.to));
/** Passes on a range only if its ends changed. */
function stable(source) {
	let last;
	return O(() => {
		const next = source.value;
		if (!last || last.from !== next.from || last.to !== next.to) last = next;
		return last;
	});
}
var prefersLight = matchMedia("(prefers-color-scheme: light)");
var systemTheme = y$1(prefersLight.matches ? "light" : "dark");
var rememberedTheme = y$1(remembered());
/** Theme if the URL names none. */
var defaultTheme = O(() => {
	const kept = rememberedTheme.value;
	return kept === "dark" || kept === "light" ? kept : systemTheme.value;
});
var theme = O(() => state.value.theme || defaultTheme.value);
function toggleTheme() {
	const next = theme.peek() === "dark" ? "light" : "dark";
	try {
		localStorage.setItem(THEME_KEY, next);
	} catch {}
	update({ theme: next === systemTheme.peek() ? "" : next }, "replace");
	rememberedTheme.value = next;
}
function remembered() {
	try {
		return localStorage.getItem(THEME_KEY);
	} catch {
		return null;
	}
}
/** Wires the state to the browser; called once. */
function startState() {
	window.history.replaceState(null, "", formatUrl(state.peek()));
	window.addEventListener("popstate", () => {
		state.value = parseUrl(location.pathname, location.search);
	});
	prefersLight.addEventListener("change", () => {
		systemTheme.value = prefersLight.matches ? "light" : "dark";
	});
	x(() => {
		document.documentElement.dataset["theme"] = theme.value;
	});
	x(() => {
		const timer = setInterval(() => {
			if (isLive.peek() && document.visibilityState === "visible") refresh();
		}, REFRESH_MS[page.value]);
		return () => clearInterval(timer);
	});
	document.addEventListener("visibilitychange", () => {
		if (isLive.peek() && document.visibilityState === "visible") refresh();
	});
}
// src/data.ts
var DEFAULT_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
var TIMELINE_POINTS = 120;
/** Profilers report every few seconds: shorter steps would show their rhythm, not the load. */
var TIMELINE_STEP_MIN_MS = 15e3;
var types = new Resource();
var overview = new Resource();
var series = new Resource();
var flame = new Resource();
var status = new Resource();
var unnamed = new Resource();
/** The profile type shown: the URL's, else CPU time, else whatever the server has. */
var profileType = O(() => {
	const asked = state.value.type;
	const known = types.data.value;
	if (asked !== "") return asked;
	return known && known.length > 0 && !known.includes(DEFAULT_TYPE) ? known[0] : DEFAULT_TYPE;
});
var unit = O(() => typeParts(profileType.value).unit);
var selector = O(() => state.value.q);
var groupBy = O(() => state.value.by);
/** What table and flame graph show. */
var flameQuery = O(() => ({
	q: selector.value,
	type: profileType.value,
	range: selection.value
}));
/** What the timeline and the label lists show. */
var rangeQuery = O(() => ({
	q: selector.value,
	type: profileType.value,
	range: range.value
}));
var rows = O(() => flame.data.value ? functionRows(flame.data.value) : []);
/** The search pattern; null if there is none, 'invalid' if it is no regular expression. */
var pattern = O(() => {
	const text = search.value.trim();
	return text === "" ? null : compilePattern(text) ?? "invalid";
});
/** Which names the search matches. */
var searchHits = O(() => {
	const model = flame.data.value;
	const expression = pattern.value;
	return model && expression instanceof RegExp ? matchNames(model, expression) : void 0;
});
var searchTotal = O(() => {
	const model = flame.data.value;
	const hits = searchHits.value;
	return model && hits ? matchedTotal(model, hits) : 0;
});
var markedFunction = O(() => state.value.fn);
/** Which names stand out in the flame graph: the marked function, else what the search matches. */
var highlights = O(() => {
	const model = flame.data.value;
	if (!model || markedFunction.value === "") return searchHits.value;
	const hits = matchOne(model, markedFunction.value);
	return hits.includes(1) ? hits : searchHits.value;
});
/** Starts following the state; called once. */
function startData() {
	x(() => {
		if (page.value === "status") return;
		refreshes.value;
		const asked = range.value;
		types.load("", (signal) => fetchTypes(asked, signal));
	});
	x(() => {
		if (page.value !== "fleet") return;
		refreshes.value;
		const [type, asked] = [profileType.value, range.value];
		overview.load(`${type} ${rangeKey()}`, (signal) => fetchOverview(type, asked, signal));
	});
	x(() => {
		if (page.value !== "explore") return;
		refreshes.value;
		const query = rangeQuery.value;
		const by = groupBy.value;
		const step = Math.max(TIMELINE_STEP_MIN_MS, stepFor(query.range, TIMELINE_POINTS));
		series.load(`${query.type} ${query.q} ${by} ${rangeKey()}`, (signal) => fetchSeries(query, step, by, signal));
	});
	x(() => {
		if (page.value !== "explore") return;
		refreshes.value;
		const query = flameQuery.value;
		const key = `${query.type} ${query.q} ${state.peek().sel} ${rangeKey()}`;
		flame.load(key, (signal) => fetchFlame(query, signal));
	});
	x(() => {
		if (page.value !== "status") return;
		refreshes.value;
		loadStatus();
		unnamed.load("", fetchUnnamed);
	});
}
function loadStatus() {
	status.load("", fetchStatus);
}
/** The range as asked for: stays the same while a relative range moves with the clock. */
function rangeKey() {
	const { from, to } = state.peek();
	return `${from} ${to}`;
}
// node_modules/preact/jsx-runtime/dist/jsxRuntime.mjs
var f = Symbol.for("pv");
var o = 0;
Array.isArray;
function a(t, e, n, u, a, i) {
	e || (e = {});
	var c, l, p = e;
	if ("ref" in p && "function" != typeof t) for (l in p = {}, e) "ref" == l ? c = e[l] : p[l] = e[l];
	var s = {
		type: t,
		props: p,
		key: n,
		ref: c,
		__k: null,
		__: null,
		__b: 0,
		__e: null,
		__c: null,
		constructor: f,
		__v: --o,
		__i: -1,
		__u: 0
	};
	return (a || i) && (s.__source = a, s.__self = i), n$1.vnode && n$1.vnode(s), s;
}
// src/components/flameview.tsx
/** The frame under the pointer, in any chart. */
var hovered = y$1(null);
/** The element that describes the selected frame in words. */
var DETAIL_ID = "frame-detail";
/** Charts by what they show, for the test hook. */
var charts = /* @__PURE__ */ new Map();
function FlameView({ id, model, focus, layout, label, hits, selected, keepView = false, reveal = -1, onFocus }) {
	const host = T(null);
	const chart = T(null);
	const callbacks = T({
		model,
		onFocus,
		selected
	});
	callbacks.current = {
		model,
		onFocus,
		selected
	};
	F$1(() => {
		if (!host.current) return void 0;
		const created = new FlameChart(host.current, {
			hover: (node, x, y) => {
				hovered.value = node < 0 ? null : {
					model: callbacks.current.model,
					node,
					x,
					y
				};
			},
			select: (node) => {
				if (callbacks.current.selected) callbacks.current.selected.value = node;
			},
			focus: (node, shown) => callbacks.current.onFocus(node, shown),
			sandwich: (node) => {
				if (node > 0 || layout.firstLevel > 0) update({
					fn: nodeName(callbacks.current.model, node),
					view: "sandwich"
				});
			}
		}, layout);
		chart.current = created;
		charts.set(id, created);
		return () => {
			hovered.value = null;
			charts.delete(id);
			created.dispose();
		};
	}, []);
	F$1(() => chart.current?.setTheme(theme.value), [theme.value]);
	F$1(() => chart.current?.setLabel(label, DETAIL_ID), [label]);
	F$1(() => chart.current?.setModel(model, focus, keepView), [model]);
	F$1(() => chart.current?.focusOn(focus), [focus]);
	F$1(() => chart.current?.bringIntoView(reveal), [reveal]);
	F$1(() => chart.current?.setHits(hits), [hits, model]);
	F$1(() => chart.current?.setSelected(selected?.value ?? -1), [selected?.value, model]);
	return /* @__PURE__ */ a("div", {
		class: "flame",
		ref: host,
		"data-chart": id
	});
}
var TOOLTIP_WIDTH = 420;
var TOOLTIP_HEIGHT = 150;
function FlameTooltip() {
	const at = hovered.value;
	if (!at) return null;
	const { model, node } = at;
	const caller = model.parent[node];
	const left = Math.max(8, Math.min(at.x + 14, innerWidth - TOOLTIP_WIDTH));
	const place = at.y + 18 + TOOLTIP_HEIGHT < innerHeight ? { top: `${at.y + 18}px` } : { bottom: `${innerHeight - at.y + 12}px` };
	const total = model.total[node];
	const self = model.self[node];
	return /* @__PURE__ */ a("div", {
		class: "tooltip",
		role: "tooltip",
		style: {
			left: `${left}px`,
			...place
		},
		children: [/* @__PURE__ */ a("h3", { children: nodeName(model, node) }), /* @__PURE__ */ a("table", { children: /* @__PURE__ */ a("tbody", { children: [
			/* @__PURE__ */ a(TooltipRow, {
				name: "Total",
				value: `${formatValue(unit.value, total)} · ${formatShare(total, model.grandTotal)}`
			}),
			/* @__PURE__ */ a(TooltipRow, {
				name: "Self",
				value: `${formatValue(unit.value, self)} · ${formatShare(self, model.grandTotal)}`
			}),
			caller >= 0 && /* @__PURE__ */ a(TooltipRow, {
				name: "Of caller",
				value: formatShare(total, model.total[caller])
			}),
			node > 0 && /* @__PURE__ */ a(TooltipRow, {
				name: "Code",
				value: layerName(model.layers[model.name[node]] ?? 0)
			})
		] }) })]
	});
}
function TooltipRow({ name, value }) {
	return /* @__PURE__ */ a("tr", { children: [/* @__PURE__ */ a("th", {
		scope: "row",
		children: name
	}), /* @__PURE__ */ a("td", { children: value })] });
}
// src/components/icons.tsx
function Logo() {
	return /* @__PURE__ */ a("svg", {
		class: "logo",
		width: "18",
		height: "18",
		viewBox: "0 0 16 16",
		"aria-hidden": "true",
		children: [
			/* @__PURE__ */ a("defs", { children: /* @__PURE__ */ a("linearGradient", {
				id: "logo-fire",
				x1: "0",
				y1: "1",
				x2: "1",
				y2: "0",
				children: [/* @__PURE__ */ a("stop", {
					offset: "0",
					"stop-color": "#ff4d3d"
				}), /* @__PURE__ */ a("stop", {
					offset: "1",
					"stop-color": "#ffa63d"
				})]
			}) }),
			/* @__PURE__ */ a("rect", {
				width: "16",
				height: "16",
				rx: "4",
				fill: "url(#logo-fire)"
			}),
			/* @__PURE__ */ a("path", {
				d: "M8 2.5c.6 2.4 3.6 3.6 3.6 6.9A3.6 3.6 0 0 1 8 13a3.6 3.6 0 0 1-3.6-3.6c0-1.5.8-2.6 1.6-3.4.1 1 .5 1.6 1.1 1.9C6.8 5.9 7 4.2 8 2.5z",
				fill: "#fff3e0"
			})
		]
	});
}
var PATHS = {
	moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
	sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
	down: "M4 6.5 8 10.5 12 6.5",
	close: "M4 4l8 8M12 4l-8 8",
	plus: "M8 3v10M3 8h10",
	reload: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
	copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
	zoom: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5M5 7h4M7 5v4"
};
function Icon({ name }) {
	return /* @__PURE__ */ a("svg", {
		class: "icon",
		width: "14",
		height: "14",
		viewBox: "0 0 16 16",
		"aria-hidden": "true",
		children: /* @__PURE__ */ a("path", {
			d: PATHS[name],
			fill: "none",
			stroke: "currentColor",
			"stroke-width": "1.5",
			"stroke-linecap": "round",
			"stroke-linejoin": "round"
		})
	});
}
// src/components/popover.tsx
function Popover({ label, title, buttonClass = "button", align = "left", children }) {
	const [open, setOpen] = d$2(false);
	const root = T(null);
	A$1(() => {
		if (!open) return void 0;
		const onPointer = (event) => {
			if (!root.current?.contains(event.target)) setOpen(false);
		};
		const onKey = (event) => {
			if (event.key !== "Escape") return;
			setOpen(false);
			root.current?.querySelector("button")?.focus();
		};
		document.addEventListener("pointerdown", onPointer, true);
		document.addEventListener("keydown", onKey);
		return () => {
			document.removeEventListener("pointerdown", onPointer, true);
			document.removeEventListener("keydown", onKey);
		};
	}, [open]);
	return /* @__PURE__ */ a("div", {
		class: "popover",
		ref: root,
		children: [/* @__PURE__ */ a("button", {
			type: "button",
			class: buttonClass,
			title,
			"aria-expanded": open,
			onClick: () => setOpen(!open),
			children: label
		}), open && /* @__PURE__ */ a("div", {
			class: `panel ${align}`,
			children: children(() => setOpen(false))
		})]
	});
}
/** A list of choices for a popover. */
function Menu({ items, close }) {
	return /* @__PURE__ */ a("ul", {
		class: "menu",
		children: items.map((item) => /* @__PURE__ */ a("li", { children: /* @__PURE__ */ a("button", {
			type: "button",
			"aria-current": item.current ? "true" : void 0,
			onClick: () => {
				item.choose();
				close();
			},
			children: item.label
		}) }, item.key))
	});
}
// src/components/timepicker.tsx
function TimePicker() {
	const { from, to } = state.value;
	return /* @__PURE__ */ a(Popover, {
		align: "right",
		title: "Time range",
		label: /* @__PURE__ */ a($, { children: [
			/* @__PURE__ */ a("span", {
				class: "hide-small",
				children: describeRange(from, to)
			}),
			/* @__PURE__ */ a("span", {
				class: "only-small",
				children: shortRange(from, to)
			}),
			" ",
			/* @__PURE__ */ a(Icon, { name: "down" })
		] }),
		children: (close) => /* @__PURE__ */ a("div", {
			class: "timepicker",
			children: [/* @__PURE__ */ a("ul", {
				class: "menu",
				children: PRESETS.map((preset) => /* @__PURE__ */ a("li", { children: /* @__PURE__ */ a("button", {
					type: "button",
					"aria-current": preset.from === from && to === "now" ? "true" : void 0,
					onClick: () => {
						refresh();
						update({
							from: preset.from,
							to: "now",
							sel: ""
						});
						close();
					},
					children: preset.label
				}) }, preset.from))
			}), /* @__PURE__ */ a(AbsoluteRange, { close })]
		})
	});
}
function AbsoluteRange({ close }) {
	const [from, setFrom] = d$2(formatTimestamp(range.peek().from));
	const [to, setTo] = d$2(formatTimestamp(range.peek().to));
	const [start, end] = [parseLocal(from), parseLocal(to)];
	const valid = start !== null && end !== null && start < end;
	const apply = () => {
		if (!valid) return;
		update({
			from: String(start),
			to: String(end),
			sel: ""
		});
		close();
	};
	return /* @__PURE__ */ a("form", {
		class: "absolute",
		onSubmit: (event) => {
			event.preventDefault();
			apply();
		},
		children: [
			/* @__PURE__ */ a("label", { children: ["From", /* @__PURE__ */ a("input", {
				class: "input",
				value: from,
				onInput: (event) => setFrom(event.currentTarget.value)
			})] }),
			/* @__PURE__ */ a("label", { children: ["To", /* @__PURE__ */ a("input", {
				class: "input",
				value: to,
				onInput: (event) => setTo(event.currentTarget.value)
			})] }),
			/* @__PURE__ */ a("button", {
				type: "submit",
				class: "button primary",
				disabled: !valid,
				children: "Apply"
			}),
			!valid && /* @__PURE__ */ a("small", {
				class: "bad",
				children: [
					"Write two local times such as ",
					formatTimestamp(range.peek().from),
					", the earlier one first."
				]
			})
		]
	});
}
/** `YYYY-MM-DD hh:mm[:ss]` in the reader's zone, in milliseconds since the epoch. */
function parseLocal(text) {
	if (!/^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?$/.test(text.trim())) return null;
	const value = new Date(text.trim().replace(" ", "T")).getTime();
	return Number.isNaN(value) ? null : value;
}
// src/components/topbar.tsx
var TABS = [
	{
		page: "fleet",
		label: "Fleet"
	},
	{
		page: "explore",
		label: "Explore"
	},
	{
		page: "status",
		label: "Status"
	}
];
function TopBar({ title }) {
	return /* @__PURE__ */ a("header", {
		class: "topbar",
		children: [
			/* @__PURE__ */ a("h1", {
				class: "unseen",
				children: title
			}),
			/* @__PURE__ */ a("a", {
				class: "brand",
				href: "./",
				onClick: (event) => follow(event, "fleet"),
				children: [/* @__PURE__ */ a(Logo, {}), /* @__PURE__ */ a("span", {
					class: "hide-small",
					children: "Hearth"
				})]
			}),
			/* @__PURE__ */ a("nav", {
				class: "tabs",
				"aria-label": "Pages",
				children: TABS.map((tab) => /* @__PURE__ */ a("a", {
					href: formatUrl({
						...DEFAULTS,
						page: tab.page
					}),
					"aria-current": page.value === tab.page ? "page" : void 0,
					onClick: (event) => follow(event, tab.page),
					children: tab.label
				}, tab.page))
			}),
			/* @__PURE__ */ a("span", { class: "spacer" }),
			page.value !== "status" && /* @__PURE__ */ a(TimePicker, {}),
			/* @__PURE__ */ a(LiveButton, {}),
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "button square",
				"aria-label": `Switch to ${theme.value === "dark" ? "light" : "dark"} theme`,
				onClick: toggleTheme,
				children: /* @__PURE__ */ a(Icon, { name: theme.value === "dark" ? "moon" : "sun" })
			})
		]
	});
}
/** Stays in the page for a plain click; the browser does the rest (new tab, copy address). */
function follow(event, target) {
	if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
	event.preventDefault();
	update({
		page: target,
		search: "",
		focus: "",
		fn: "",
		view: "flame"
	});
}
function LiveButton() {
	const live = isLive.value;
	return /* @__PURE__ */ a("button", {
		type: "button",
		class: "button",
		"aria-pressed": live,
		"aria-label": live ? "Live: refreshes by itself" : "Go live",
		title: live ? "Refreshes every few seconds; click to pause" : "Click to refresh by itself",
		onClick: () => {
			if (live) return update({ live: "off" }, "replace");
			const relative = state.peek().to === "now";
			refresh();
			return update({
				live: "on",
				...relative ? {} : {
					from: DEFAULTS.from,
					to: DEFAULTS.to,
					sel: ""
				}
			});
		},
		children: [/* @__PURE__ */ a("span", { class: live ? "dot" : "dot off" }), /* @__PURE__ */ a("span", {
			class: "hide-small",
			children: live ? "Live" : "Paused"
		})]
	});
}
// src/flame/paths.ts
var cache = /* @__PURE__ */ new WeakMap();
/** The 64-bit hash of the node's path, as 16 hexadecimal digits. */
function pathHash(model, node) {
	const { high, low } = hashesOf(model);
	return hex(high[node]) + hex(low[node]);
}
/** The node with this path hash, or -1. */
function findPath(model, hash) {
	if (!/^[0-9a-f]{16}$/.test(hash)) return -1;
	const { high, low } = hashesOf(model);
	const [wantHigh, wantLow] = [parseInt(hash.slice(0, 8), 16), parseInt(hash.slice(8), 16)];
	for (let node = 0; node < model.nodeCount; node++) if (low[node] === wantLow && high[node] === wantHigh) return node;
	return -1;
}
function hashesOf(model) {
	let hashes = cache.get(model);
	if (!hashes) cache.set(model, hashes = computeHashes(model));
	return hashes;
}
function computeHashes({ nodeCount, names, name, parent }) {
	const nameHigh = Uint32Array.from(names, (text) => hashText(text, 2654435769));
	const nameLow = Uint32Array.from(names, (text) => hashText(text));
	const high = new Uint32Array(nodeCount);
	const low = new Uint32Array(nodeCount);
	for (let node = 0; node < nodeCount; node++) {
		const caller = parent[node];
		const id = name[node];
		high[node] = mix(caller < 0 ? 1 : high[caller], nameHigh[id]);
		low[node] = mix(caller < 0 ? 2 : low[caller], nameLow[id]);
	}
	return {
		high,
		low
	};
}
/** Order matters: mix(mix(a, b), c) differs from mix(mix(a, c), b). */
function mix(hash, value) {
	let mixed = Math.imul(hash ^ hash >>> 15, 2246822507) ^ value;
	mixed = Math.imul(mixed ^ mixed >>> 13, 3266489909);
	return (mixed ^ mixed >>> 16) >>> 0;
}
function hex(value) {
	return value.toString(16).padStart(8, "0");
}
// src/flame/sandwich.ts
/** Callers and callees of function `id`. Recursive calls inside an outermost call are its callees. */
function sandwich(model, id) {
	const callers = new Trie(id);
	const callees = new Trie(id);
	const copied = new Int32Array(model.nodeCount);
	for (let node = 1; node < model.nodeCount;) {
		if (model.name[node] !== id) {
			node++;
			continue;
		}
		addCallers(callers, model, node);
		addCallees(callees, model, node, copied);
		node = model.end[node];
	}
	return {
		callers: callers.toModel(model),
		callees: callees.toModel(model)
	};
}
function addCallers(callers, model, node) {
	const value = model.total[node];
	let at = 0;
	callers.addTotal(at, value);
	for (let caller = model.parent[node]; caller > 0; caller = model.parent[caller]) {
		at = callers.child(at, model.name[caller]);
		callers.addTotal(at, value);
	}
	callers.addSelf(at, value);
}
function addCallees(callees, model, node, copied) {
	const end = model.end[node];
	for (let at = node; at < end; at++) {
		const copy = at === node ? 0 : callees.child(copied[model.parent[at]], model.name[at]);
		copied[at] = copy;
		callees.addSelf(copy, model.self[at]);
		callees.addTotal(copy, model.total[at]);
	}
}
/** A tree under construction, merged by name. */
var Trie = class {
	names;
	selfs = [0];
	totals = [0];
	children = [void 0];
	constructor(rootName) {
		this.names = [rootName];
	}
	child(parent, name) {
		const siblings = this.children[parent] ??= /* @__PURE__ */ new Map();
		let node = siblings.get(name);
		if (node === void 0) {
			node = this.names.length;
			this.names.push(name);
			this.selfs.push(0);
			this.totals.push(0);
			this.children.push(void 0);
			siblings.set(name, node);
		}
		return node;
	}
	addSelf(node, value) {
		this.selfs[node] += value;
	}
	addTotal(node, value) {
		this.totals[node] += value;
	}
	/** The tree in preorder, siblings by total, largest first. */
	toModel({ names, layers }) {
		const count = this.names.length;
		const name = new Uint32Array(count);
		const level = new Uint16Array(count);
		const self = new Float64Array(count);
		const pending = [{
			node: 0,
			level: 0
		}];
		for (let out = 0; pending.length > 0; out++) {
			const next = pending.pop();
			name[out] = this.names[next.node];
			level[out] = next.level;
			self[out] = this.selfs[next.node];
			const children = [...this.children[next.node]?.values() ?? []];
			children.sort((a, b) => this.totals[a] - this.totals[b]);
			for (const child of children) pending.push({
				node: child,
				level: next.level + 1
			});
		}
		return buildModel({
			names,
			layers,
			name,
			level,
			self
		});
	}
};
// src/components/copy.tsx
function CopyButton({ text, label = "Copy" }) {
	const [said, setSaid] = d$2(label);
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
			setSaid("Copied");
		} catch {
			setSaid("Not allowed");
		}
		setTimeout(() => setSaid(label), 1500);
	};
	return /* @__PURE__ */ a("button", {
		type: "button",
		class: "button",
		onClick: () => void copy(),
		children: [
			/* @__PURE__ */ a(Icon, { name: "copy" }),
			" ",
			said
		]
	});
}
// src/components/flamepanel.tsx
var ROOT_ON_TOP = {
	flipped: false,
	firstLevel: 0
};
var CALLERS_UP = {
	flipped: true,
	firstLevel: 1
};
var CALLEES_DOWN = {
	flipped: false,
	firstLevel: 1
};
/** The frame the reader chose, as a node of the current model; -1 for none. */
var selected = y$1(-1);
/** Focus in the URL is a path hash; here it is the node it means now, 0 if there is none. */
var focusHash = O(() => state.value.focus);
var focusNode = O(() => {
	const model = flame.data.value;
	return model && focusHash.value !== "" ? Math.max(0, findPath(model, focusHash.value)) : 0;
});
/** Marking a function brings its widest frame into view. */
var markedName = O(() => state.value.fn);
var markedFrame = O(() => {
	const model = flame.data.value;
	const id = model && markedName.value !== "" ? model.names.indexOf(markedName.value) : -1;
	return model && id >= 0 ? widestFrame(model, id) : -1;
});
/** A new focus is selected; newer data keeps the selected frame where it can. */
var selectedIn = null;
x(() => {
	const model = flame.data.value;
	const focus = focusNode.value;
	const before = selected.peek();
	selected.value = model && selectedIn && flame.isRefresh.peek() && selectedIn !== model && before > 0 ? findPath(model, pathHash(selectedIn, before)) : focus > 0 ? focus : -1;
	selectedIn = model;
});
/** Clicking a frame puts it into the URL; the root means everything. */
function focusOn(node, model) {
	update({ focus: node > 0 ? pathHash(model, node) : "" });
}
function FlamePanel({ model }) {
	const { fn, view } = state.value;
	const id = fn === "" ? -1 : model.names.indexOf(fn);
	const showSandwich = view === "sandwich" && id >= 0;
	return /* @__PURE__ */ a("section", {
		class: `card column flamepanel${flame.stale.value ? " stale" : ""}`,
		"aria-label": "Flame graph",
		children: [/* @__PURE__ */ a(Toolbar, {
			model,
			canSandwich: id >= 0,
			showSandwich
		}), showSandwich ? /* @__PURE__ */ a(SandwichView, {
			model,
			id
		}) : /* @__PURE__ */ a(FlameGraph, { model })]
	});
}
function FlameGraph({ model }) {
	const total = formatValue(unit.value, model.grandTotal);
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a(Breadcrumb, { model }),
		/* @__PURE__ */ a(FlameView, {
			id: "main",
			model,
			focus: focusNode.value,
			layout: ROOT_ON_TOP,
			label: `Flame graph of ${total} ${typeLabel(profileType.value)} in ${model.nodeCount} frames. The table of functions has the same figures. Arrow keys walk the frames.`,
			hits: highlights.value,
			selected,
			keepView: flame.isRefresh.value,
			reveal: markedFrame.value,
			onFocus: focusOn
		}),
		/* @__PURE__ */ a(Detail, { model })
	] });
}
function Toolbar({ model, canSandwich, showSandwich }) {
	return /* @__PURE__ */ a("div", {
		class: "bar",
		children: [
			/* @__PURE__ */ a("h2", {
				class: "ellipsis",
				children: [
					equalTo(parseSelector(state.value.q), "service_name") ?? "All services",
					" · ",
					formatValue(unit.value, model.grandTotal),
					" ",
					/* @__PURE__ */ a("span", {
						class: "hide-small",
						children: typeLabel(profileType.value)
					})
				]
			}),
			/* @__PURE__ */ a("span", {
				class: "legend hide-small",
				children: LAYERS.map((layer, index) => /* @__PURE__ */ a("span", {
					title: LAYER_MEANING[layer],
					children: [/* @__PURE__ */ a("i", { style: { background: layerColor(index) } }), layer]
				}, layer))
			}),
			/* @__PURE__ */ a("span", { class: "spacer" }),
			/* @__PURE__ */ a("span", {
				class: "segments",
				role: "group",
				"aria-label": "View",
				children: [/* @__PURE__ */ a("button", {
					type: "button",
					"aria-pressed": !showSandwich,
					onClick: () => update({ view: "flame" }),
					children: "Flame"
				}), /* @__PURE__ */ a("button", {
					type: "button",
					"aria-pressed": showSandwich,
					title: canSandwich ? "Callers and callees of the marked function" : "Callers and callees: mark a function first",
					onClick: () => update({
						view: "sandwich",
						...canSandwich ? {} : { fn: functionToSandwich(model) }
					}),
					children: "Sandwich"
				})]
			}),
			/* @__PURE__ */ a(ExportMenu, {})
		]
	});
}
/** The selected frame's function, else the hottest one. */
function functionToSandwich(model) {
	if (selected.peek() > 0) return nodeName(model, selected.peek());
	return rows.peek().reduce((best, row) => row.self > best.self ? row : best, rows.peek()[0])?.name ?? "";
}
var EXPORTS = [
	{
		format: "pprof",
		label: "pprof",
		note: "go tool pprof, Speedscope"
	},
	{
		format: "folded",
		label: "Folded stacks",
		note: "flamegraph.pl, inferno"
	},
	{
		format: "svg",
		label: "SVG",
		note: "a picture for documents"
	}
];
function ExportMenu() {
	return /* @__PURE__ */ a(Popover, {
		align: "right",
		label: /* @__PURE__ */ a($, { children: ["Export ", /* @__PURE__ */ a(Icon, { name: "down" })] }),
		children: (close) => /* @__PURE__ */ a("ul", {
			class: "menu",
			children: EXPORTS.map(({ format, label, note }) => /* @__PURE__ */ a("li", { children: /* @__PURE__ */ a("a", {
				href: exportUrl(flameQuery.value, format),
				download: true,
				onClick: () => setTimeout(close),
				children: [
					label,
					" ",
					/* @__PURE__ */ a("small", { children: note })
				]
			}) }, format))
		})
	});
}
function Breadcrumb({ model }) {
	if (focusHash.value !== "" && focusNode.value === 0) return /* @__PURE__ */ a("div", {
		class: "breadcrumb",
		role: "status",
		children: ["The frame this link zooms to has no samples in this range.", /* @__PURE__ */ a("button", {
			type: "button",
			class: "crumb",
			onClick: () => focusOn(0, model),
			children: "Show everything"
		})]
	});
	if (focusNode.value === 0) return null;
	const path = pathOf(model, focusNode.value).slice(1);
	const shown = path.slice(-6);
	return /* @__PURE__ */ a("nav", {
		class: "breadcrumb",
		"aria-label": "Zoomed path",
		children: [
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "crumb",
				onClick: () => focusOn(0, model),
				children: "total"
			}),
			path.length > shown.length && /* @__PURE__ */ a("span", {
				class: "quiet",
				children: ["› … ", path.length - shown.length]
			}),
			shown.map((node) => /* @__PURE__ */ a("button", {
				type: "button",
				class: "crumb",
				"aria-current": node === focusNode.value ? "true" : void 0,
				title: nodeName(model, node),
				onClick: () => focusOn(node, model),
				children: listName(nodeName(model, node))
			}, node)),
			/* @__PURE__ */ a("span", { class: "spacer" }),
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "crumb reset",
				onClick: () => focusOn(0, model),
				children: "Reset zoom"
			})
		]
	});
}
function Detail({ model }) {
	const node = selected.value;
	return /* @__PURE__ */ a("div", {
		class: "detail",
		children: [/* @__PURE__ */ a("div", {
			class: "detail-text",
			id: DETAIL_ID,
			role: "status",
			"aria-live": "polite",
			children: node >= 0 && node < model.nodeCount ? /* @__PURE__ */ a(FrameText, {
				model,
				node
			}) : /* @__PURE__ */ a(MarkedText, { model })
		}), /* @__PURE__ */ a(DetailButtons, { model })]
	});
}
function FrameText({ model, node }) {
	const name = nodeName(model, node);
	const total = model.total[node];
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("b", {
			class: "mono ellipsis",
			title: name,
			children: name
		}),
		/* @__PURE__ */ a("span", { children: [
			"total ",
			/* @__PURE__ */ a("b", { children: formatShare(total, model.grandTotal) }),
			" ",
			formatValue(unit.value, total)
		] }),
		/* @__PURE__ */ a("span", { children: ["self ", /* @__PURE__ */ a("b", { children: formatValue(unit.value, model.self[node]) })] }),
		/* @__PURE__ */ a("span", {
			class: "hide-small",
			children: ["depth ", /* @__PURE__ */ a("b", { children: model.level[node] })]
		})
	] });
}
/** The marked function's sums over all its frames, else how to use the chart. */
function MarkedText({ model }) {
	const row = rows.value.find(({ name }) => name === state.value.fn);
	if (!row) return /* @__PURE__ */ a("span", {
		class: "quiet",
		children: [
			"Click a frame to focus · ",
			/* @__PURE__ */ a("kbd", { children: "ctrl" }),
			"+wheel zoom · arrows walk the stack · right-click for callers and callees ·",
			" ",
			/* @__PURE__ */ a("kbd", { children: "/" }),
			" search"
		]
	});
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("b", {
			class: "mono ellipsis",
			title: row.name,
			children: row.name
		}),
		/* @__PURE__ */ a("span", { children: [
			"total ",
			/* @__PURE__ */ a("b", { children: formatShare(row.total, model.grandTotal) }),
			" ",
			formatValue(unit.value, row.total)
		] }),
		/* @__PURE__ */ a("span", { children: ["self ", /* @__PURE__ */ a("b", { children: formatValue(unit.value, row.self) })] }),
		/* @__PURE__ */ a("span", {
			class: "hide-small",
			children: "over all its frames"
		})
	] });
}
function DetailButtons({ model }) {
	const name = selected.value > 0 ? nodeName(model, selected.value) : state.value.fn;
	if (name === "") return null;
	return /* @__PURE__ */ a($, { children: [
		/* @__PURE__ */ a("button", {
			type: "button",
			class: "button",
			onClick: () => update({
				fn: name,
				view: "sandwich"
			}),
			children: "Callers & callees"
		}),
		/* @__PURE__ */ a("span", {
			class: "hide-small",
			children: /* @__PURE__ */ a(CopyButton, {
				text: name,
				label: "Copy name"
			})
		}),
		state.value.fn !== "" && /* @__PURE__ */ a("button", {
			type: "button",
			class: "button hide-small",
			onClick: () => update({ fn: "" }),
			children: "Unmark"
		})
	] });
}
function SandwichView({ model, id }) {
	const { callers, callees } = w$2(() => sandwich(model, id), [model, id]);
	const name = model.names[id];
	const callersFocus = w$2(() => y$1(0), [callers]);
	const calleesFocus = w$2(() => y$1(0), [callees]);
	return /* @__PURE__ */ a("div", {
		class: "sandwich",
		children: [
			/* @__PURE__ */ a(FlameView, {
				id: "callers",
				model: callers,
				focus: callersFocus.value,
				layout: CALLERS_UP,
				label: `Callers of ${name}`,
				onFocus: (node) => callersFocus.value = node
			}),
			/* @__PURE__ */ a("div", {
				class: "sandwich-band",
				children: [
					/* @__PURE__ */ a("b", {
						class: "ellipsis",
						title: name,
						children: name
					}),
					/* @__PURE__ */ a("span", { children: [
						formatValue(unit.value, callees.grandTotal),
						" · ",
						formatShare(callees.grandTotal, model.grandTotal)
					] }),
					/* @__PURE__ */ a("span", { class: "spacer" }),
					/* @__PURE__ */ a("span", {
						class: "hide-small",
						children: "callers above, callees below"
					}),
					/* @__PURE__ */ a("button", {
						type: "button",
						"aria-label": "Close callers and callees",
						onClick: () => update({ view: "flame" }),
						children: /* @__PURE__ */ a(Icon, { name: "close" })
					})
				]
			}),
			/* @__PURE__ */ a(FlameView, {
				id: "callees",
				model: callees,
				focus: calleesFocus.value,
				layout: CALLEES_DOWN,
				label: `Callees of ${name}`,
				onFocus: (node) => calleesFocus.value = node
			})
		]
	});
}
// src/components/functions.tsx
var ROW_PX = 25;
var OVERSCAN = 6;
var sort = O(() => state.value.sort);
var marked = O(() => state.value.fn);
var sorted = O(() => sortRows(rows.value, sort.value));
var shown = O(() => {
	const hits = searchHits.value;
	return hits ? sorted.value.filter((row) => hits[row.id] === 1) : sorted.value;
});
function FunctionPanel() {
	return /* @__PURE__ */ a("section", {
		class: "card column functions",
		"aria-label": "Functions",
		children: [/* @__PURE__ */ a(SearchBar, {}), /* @__PURE__ */ a(FunctionTable, {})]
	});
}
function SearchBar() {
	const model = flame.data.value;
	return /* @__PURE__ */ a("div", {
		class: "bar",
		children: [
			/* @__PURE__ */ a("input", {
				id: "search",
				class: "input grow",
				type: "search",
				placeholder: "Search functions: name or regex",
				"aria-label": "Search functions",
				"aria-invalid": pattern.value === "invalid",
				spellcheck: false,
				value: search.value,
				onInput: (event) => update({ search: event.currentTarget.value }, "replace"),
				onKeyDown: (event) => {
					if (event.key !== "Escape") return;
					update({ search: "" }, "replace");
					event.currentTarget.blur();
				}
			}),
			pattern.value === "invalid" && /* @__PURE__ */ a("span", {
				class: "bad nowrap",
				children: "not a regex"
			}),
			searchHits.value && model && /* @__PURE__ */ a("span", {
				class: "nowrap quiet",
				role: "status",
				id: "matched",
				children: [/* @__PURE__ */ a("b", {
					class: "accent",
					children: formatShare(searchTotal.value, model.grandTotal)
				}), " matched"]
			}),
			searchHits.value === void 0 && pattern.value === null && /* @__PURE__ */ a("kbd", {
				class: "hide-small",
				children: "/"
			})
		]
	});
}
function FunctionTable() {
	const body = T(null);
	const [top, setTop] = d$2(0);
	const [height, setHeight] = d$2(600);
	A$1(() => {
		const element = body.current;
		if (!element) return void 0;
		const observer = new ResizeObserver(() => setHeight(element.clientHeight));
		observer.observe(element);
		return () => observer.disconnect();
	}, []);
	const model = flame.data.value;
	const list = shown.value;
	const first = Math.max(0, Math.floor(top / ROW_PX) - OVERSCAN);
	const last = Math.min(list.length, Math.ceil((top + height) / ROW_PX) + OVERSCAN);
	const largest = list.reduce((max, row) => Math.max(max, barValue(row)), 0);
	return /* @__PURE__ */ a("div", {
		class: "table",
		role: "grid",
		"aria-label": "Functions by CPU",
		"aria-rowcount": list.length + 1,
		ref: body,
		onScroll: (event) => setTop(event.currentTarget.scrollTop),
		onKeyDown: moveFocus,
		children: [/* @__PURE__ */ a("div", {
			class: "table-head",
			role: "row",
			"aria-rowindex": 1,
			children: [
				/* @__PURE__ */ a(HeadCell, {
					by: "name",
					label: `Function · ${list.length.toLocaleString("en")}`
				}),
				/* @__PURE__ */ a(HeadCell, {
					by: "self",
					label: "Self"
				}),
				/* @__PURE__ */ a(HeadCell, {
					by: "total",
					label: "Total"
				})
			]
		}), /* @__PURE__ */ a("div", {
			class: "table-body",
			style: { height: `${list.length * ROW_PX}px` },
			children: model && list.slice(first, last).map((row, index) => /* @__PURE__ */ a(Row$1, {
				row,
				index: first + index,
				model,
				largest
			}, row.id))
		})]
	});
}
function barValue(row) {
	return sort.value === "total" ? row.total : row.self;
}
function HeadCell({ by, label }) {
	const active = sort.value === by;
	return /* @__PURE__ */ a("span", {
		role: "columnheader",
		"aria-sort": active ? by === "name" ? "ascending" : "descending" : "none",
		children: /* @__PURE__ */ a("button", {
			type: "button",
			onClick: () => update({ sort: by }, "replace"),
			children: [label, active ? by === "name" ? " ↑" : " ↓" : ""]
		})
	});
}
function Row$1({ row, index, model, largest }) {
	const layer = model.layers[row.id] ?? 0;
	const selected = marked.value === row.name;
	const bar = /* @__PURE__ */ a("i", { style: { width: `${largest > 0 ? 100 * barValue(row) / largest : 0}%` } });
	const mark = () => update({
		fn: selected ? "" : row.name,
		...selected ? { view: "flame" } : {}
	});
	return /* @__PURE__ */ a("div", {
		class: selected ? "table-row selected" : "table-row",
		role: "row",
		"aria-rowindex": index + 2,
		"aria-selected": selected,
		tabIndex: 0,
		style: { top: `${index * ROW_PX}px` },
		title: row.name,
		"data-function": row.name,
		onClick: mark,
		onDblClick: () => update({
			fn: row.name,
			view: "sandwich"
		}),
		onKeyDown: (event) => {
			if (event.key === "Enter" || event.key === " ") mark();
			else if (event.key === "s") update({
				fn: row.name,
				view: "sandwich"
			});
			else return;
			event.preventDefault();
		},
		children: [
			/* @__PURE__ */ a("span", {
				class: "name",
				role: "gridcell",
				children: [/* @__PURE__ */ a("i", {
					class: "swatch",
					style: { background: layerColor(layer) },
					title: layerName(layer)
				}), /* @__PURE__ */ a("span", { children: listName(row.name) })]
			}),
			/* @__PURE__ */ a("span", {
				class: "number",
				role: "gridcell",
				children: [formatValue(unit.value, row.self), sort.value !== "total" && bar]
			}),
			/* @__PURE__ */ a("span", {
				class: "number",
				role: "gridcell",
				children: [formatShare(row.total, model.grandTotal), sort.value === "total" && bar]
			})
		]
	});
}
/** Arrow keys walk the rows. */
function moveFocus(event) {
	const row = event.target.closest(".table-row");
	if (!row || event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
	const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
	if (next instanceof HTMLElement) {
		event.preventDefault();
		next.focus({ preventScroll: true });
		next.scrollIntoView({ block: "nearest" });
	}
}
// src/components/notice.tsx
var HEADINGS = {
	unreachable: "Server not reachable",
	rejected: "The query was not accepted",
	failed: "The server failed"
};
function FailureNotice({ failure }) {
	return /* @__PURE__ */ a("div", {
		class: "notice",
		role: "alert",
		children: [
			/* @__PURE__ */ a("h2", { children: HEADINGS[failure.kind] }),
			/* @__PURE__ */ a("p", {
				class: failure.kind === "rejected" ? "mono" : "",
				children: failure.message
			}),
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "button",
				onClick: refresh,
				children: "Try again"
			})
		]
	});
}
/** A line on top of data that is still shown although it could not be refreshed. */
function FailureBanner({ failure }) {
	return /* @__PURE__ */ a("div", {
		class: "banner",
		role: "alert",
		children: [
			/* @__PURE__ */ a("b", { children: [HEADINGS[failure.kind], "."] }),
			" ",
			failure.message,
			" Showing what was loaded last.",
			/* @__PURE__ */ a("button", {
				type: "button",
				class: "button",
				onClick: refresh,
				children: "Try again"
			})
		]
	});
}
/** The server has data, only not here. */
function NothingInRange({ filtered }) {
	const newest = status.data.value?.newest_ms ?? null;
	return /* @__PURE__ */ a("div", {
		class: "notice",
		children: [
			/* @__PURE__ */ a("h2", { children: "No samples in this range" }),
			/* @__PURE__ */ a("p", { children: [whatToDo(filtered), newest !== null && ` The newest samples of all are from ${formatTimestamp(newest)}.`] }),
			/* @__PURE__ */ a("div", {
				class: "row",
				children: [filtered && /* @__PURE__ */ a("button", {
					type: "button",
					class: "button",
					onClick: () => update({
						q: "",
						focus: ""
					}),
					children: "Remove all filters"
				}), newest !== null && /* @__PURE__ */ a("button", {
					type: "button",
					class: "button primary",
					onClick: () => showAround(newest),
					children: "Show the newest samples"
				})]
			})
		]
	});
}
function whatToDo(filtered) {
	const choices = ["a longer range"];
	if (state.value.type !== "") choices.push("another profile type");
	if (filtered) choices.push("fewer filters");
	return `Choose ${choices.join(" or ")}.`;
}
function showAround(newest) {
	const recent = Date.now() - newest < 6e5;
	refresh();
	if (recent) update({
		from: DEFAULTS.from,
		to: DEFAULTS.to,
		sel: ""
	});
	else update({
		from: String(newest - 9e5),
		to: String(newest + 5e3),
		sel: ""
	});
}
// src/components/onboarding.tsx
var CHECK_MS = 2e3;
function Onboarding() {
	const [waited, setWaited] = d$2(0);
	A$1(() => {
		const began = Date.now();
		const timer = setInterval(() => {
			setWaited(Date.now() - began);
			if (status.data.peek()?.newest_ms != null) refresh();
			else loadStatus();
		}, CHECK_MS);
		return () => clearInterval(timer);
	}, []);
	const host = location.hostname === "localhost" || location.hostname === "127.0.0.1" ? "localhost" : location.hostname;
	const port = location.port || (location.protocol === "https:" ? "443" : "80");
	return /* @__PURE__ */ a("section", {
		class: "onboarding",
		children: [
			/* @__PURE__ */ a("h2", { children: "No samples yet" }),
			/* @__PURE__ */ a("p", { children: "Hearth is running and waits for profiles. Start a profiler and this page fills itself." }),
			/* @__PURE__ */ a("ol", { children: [/* @__PURE__ */ a(Step, {
				title: "Profile this machine",
				text: "Agent, storage and this page in one process. Needs root for eBPF.",
				children: "sudo hearth up"
			}), /* @__PURE__ */ a(Step, {
				title: "Or send from an OpenTelemetry eBPF profiler",
				text: `On any Linux host that reaches this server; OTLP profiles are accepted on ${host}:${port}.`,
				children: `sudo ebpf-profiler -collection-agent ${host}:${port} -disable-tls`
			})] }),
			/* @__PURE__ */ a(FirstSamples, { waited })
		]
	});
}
function Step({ title, text, children }) {
	return /* @__PURE__ */ a("li", {
		class: "card step",
		children: [
			/* @__PURE__ */ a("h3", { children: title }),
			/* @__PURE__ */ a("p", { children: text }),
			/* @__PURE__ */ a("div", {
				class: "command",
				children: [/* @__PURE__ */ a("code", { children }), /* @__PURE__ */ a(CopyButton, { text: children })]
			})
		]
	});
}
function FirstSamples({ waited }) {
	const ingest = status.data.value?.ingest;
	const failure = status.failure.value;
	return /* @__PURE__ */ a("p", {
		class: "waiting",
		role: "status",
		children: [/* @__PURE__ */ a("span", { class: failure ? "dot off" : "dot pulse" }), failure ? failure.message : ingest && ingest.requests > 0 ? `${formatCount(ingest.requests)} requests received, ${formatCount(ingest.samples)} samples, ${formatCount(ingest.rejected)} rejected` : `Waiting for the first samples for ${formatDuration(waited)}`]
	});
}
// src/components/suggest.tsx
var SHOWN_MAX = 100;
function Suggest({ label, value, suggestions, autofocus = false, onInput, onTake }) {
	const list = P();
	const [marked, setMarked] = d$2(-1);
	const [open, setOpen] = d$2(autofocus);
	const [typed, setTyped] = d$2(false);
	const shown = (typed ? matching(suggestions, value) : suggestions).slice(0, SHOWN_MAX);
	const onKeyDown = (event) => {
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			const step = event.key === "ArrowDown" ? 1 : -1;
			setMarked(Math.max(-1, Math.min(shown.length - 1, marked + step)));
			setOpen(true);
		} else if (event.key === "Enter") {
			setOpen(false);
			onTake(shown[marked]?.value ?? value);
		} else return;
		event.preventDefault();
	};
	return /* @__PURE__ */ a("div", {
		class: "suggest",
		children: [/* @__PURE__ */ a("input", {
			class: "input",
			role: "combobox",
			"aria-label": label,
			"aria-expanded": open && shown.length > 0,
			"aria-controls": list,
			"aria-activedescendant": marked >= 0 ? `${list}-${marked}` : void 0,
			placeholder: label,
			value,
			spellcheck: false,
			autocomplete: "off",
			ref: (input) => {
				if (input && autofocus && input.dataset["focused"] !== "1") {
					input.dataset["focused"] = "1";
					input.focus();
				}
			},
			onFocus: () => {
				setTyped(false);
				setOpen(true);
			},
			onBlur: () => setOpen(false),
			onInput: (event) => {
				setMarked(-1);
				setTyped(true);
				setOpen(true);
				onInput(event.currentTarget.value);
			},
			onKeyDown
		}), open && shown.length > 0 && /* @__PURE__ */ a("ul", {
			class: "suggestions",
			id: list,
			role: "listbox",
			children: shown.map((suggestion, index) => /* @__PURE__ */ a("li", {
				id: `${list}-${index}`,
				role: "option",
				"aria-selected": index === marked,
				onPointerDown: (event) => {
					event.preventDefault();
					setOpen(false);
					onTake(suggestion.value);
				},
				children: [/* @__PURE__ */ a("span", { children: suggestion.value }), suggestion.note !== void 0 && /* @__PURE__ */ a("small", { children: suggestion.note })]
			}, suggestion.value))
		})]
	});
}
function matching(suggestions, text) {
	const wanted = text.toLowerCase();
	return suggestions.filter((suggestion) => suggestion.value.toLowerCase().includes(wanted));
}
// src/components/querybar.tsx
function QueryBar() {
	const matchers = parseSelector(state.value.q);
	return /* @__PURE__ */ a("div", {
		class: "querybar",
		children: [
			matchers ? /* @__PURE__ */ a(Chips, { matchers }) : /* @__PURE__ */ a(RawSelector, {}),
			/* @__PURE__ */ a("span", { class: "spacer" }),
			/* @__PURE__ */ a(GroupBy, {}),
			/* @__PURE__ */ a(TypePicker, {})
		]
	});
}
function setMatchers(matchers) {
	update({
		q: formatSelector(matchers),
		focus: ""
	});
}
function Chips({ matchers }) {
	return /* @__PURE__ */ a($, { children: [matchers.map((matcher, index) => /* @__PURE__ */ a("span", {
		class: "chip",
		children: [/* @__PURE__ */ a(Popover, {
			buttonClass: "chip-text",
			title: "Edit this filter",
			label: /* @__PURE__ */ a($, { children: [
				/* @__PURE__ */ a("b", { children: matcher.name }),
				/* @__PURE__ */ a("em", { children: matcher.operator }),
				/* @__PURE__ */ a("span", { children: matcher.value === "" ? "\"\"" : matcher.value })
			] }),
			children: (close) => /* @__PURE__ */ a(MatcherEditor, {
				initial: matcher,
				others: matchers.filter((other) => other !== matcher),
				apply: (changed) => {
					setMatchers(matchers.map((other) => other === matcher ? changed : other));
					close();
				}
			})
		}), /* @__PURE__ */ a("button", {
			type: "button",
			class: "chip-remove",
			"aria-label": `Remove filter ${matcher.name}`,
			onClick: () => setMatchers(matchers.filter((other) => other !== matcher)),
			children: /* @__PURE__ */ a(Icon, { name: "close" })
		})]
	}, `${index} ${matcher.name}`)), /* @__PURE__ */ a(Popover, {
		buttonClass: "button quiet",
		label: /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a(Icon, { name: "plus" }), " filter"] }),
		children: (close) => /* @__PURE__ */ a(MatcherEditor, {
			initial: {
				name: "",
				operator: "=",
				value: ""
			},
			others: matchers,
			apply: (added) => {
				setMatchers([...matchers, added]);
				close();
			}
		})
	})] });
}
function MatcherEditor({ initial, others, apply }) {
	const [name, setName] = d$2(initial.name);
	const [operator, setOperator] = d$2(initial.operator);
	const [value, setValue] = d$2(initial.value);
	const form = T(null);
	const labels = useLabels(others);
	const values = useValues(name, others, labels);
	const take = (taken) => {
		setValue(taken);
		if (name !== "") apply({
			name,
			operator,
			value: taken
		});
	};
	return /* @__PURE__ */ a("form", {
		class: "matcher",
		ref: form,
		onSubmit: (event) => {
			event.preventDefault();
			take(value);
		},
		children: [
			/* @__PURE__ */ a(Suggest, {
				label: "label",
				value: name,
				autofocus: initial.name === "",
				suggestions: labels.map((label) => ({
					value: label.name,
					note: `${label.values} ${label.values === 1 ? "value" : "values"}`
				})),
				onInput: setName,
				onTake: (taken) => {
					setName(taken);
					form.current?.querySelectorAll("input")[1]?.focus();
				}
			}),
			/* @__PURE__ */ a("select", {
				class: "input",
				"aria-label": "operator",
				value: operator,
				onChange: (event) => setOperator(event.currentTarget.value),
				children: OPERATORS.map((choice) => /* @__PURE__ */ a("option", {
					value: choice,
					children: choice
				}, choice))
			}),
			/* @__PURE__ */ a(Suggest, {
				label: "value",
				value,
				autofocus: initial.name !== "",
				suggestions: values.map(({ value: text, total }) => ({
					value: text,
					note: formatValue(unit.value, total)
				})),
				onInput: setValue,
				onTake: take
			}),
			/* @__PURE__ */ a("button", {
				type: "submit",
				class: "button primary",
				disabled: name === "",
				children: "Apply"
			})
		]
	});
}
/** Labels of the series the other matchers leave; empty while loading or if the server has none. */
function useLabels(others) {
	const [labels, setLabels] = d$2([]);
	const q = formatSelector(others);
	A$1(() => {
		const controller = new AbortController();
		fetchLabels({
			...rangeQuery.peek(),
			q
		}, controller.signal).then(setLabels, () => setLabels([]));
		return () => controller.abort();
	}, [q]);
	return labels;
}
function useValues(name, others, labels) {
	const [values, setValues] = d$2([]);
	const known = labels.some((label) => label.name === name);
	const q = formatSelector(others);
	A$1(() => {
		setValues([]);
		if (!known) return void 0;
		const controller = new AbortController();
		fetchLabelValues(name, {
			...rangeQuery.peek(),
			q
		}, controller.signal).then(setValues, () => setValues([]));
		return () => controller.abort();
	}, [
		name,
		known,
		q
	]);
	return values;
}
/** For a selector that is not a plain list of matchers: the server says what is wrong with it. */
function RawSelector() {
	return /* @__PURE__ */ a("input", {
		class: "input raw-selector",
		"aria-label": "Selector",
		value: state.value.q,
		spellcheck: false,
		onChange: (event) => update({
			q: event.currentTarget.value.trim(),
			focus: ""
		})
	});
}
function GroupBy() {
	const { by } = state.value;
	return /* @__PURE__ */ a(Popover, {
		align: "right",
		title: "Split the timeline by a label",
		label: /* @__PURE__ */ a($, { children: [
			/* @__PURE__ */ a("span", {
				class: "quiet hide-small",
				children: "group by"
			}),
			" ",
			by === "" ? "none" : by,
			" ",
			/* @__PURE__ */ a(Icon, { name: "down" })
		] }),
		children: (close) => /* @__PURE__ */ a(GroupByMenu, { close })
	});
}
function GroupByMenu({ close }) {
	return /* @__PURE__ */ a(Menu, {
		close,
		items: ["", ...useLabels(parseSelector(state.value.q) ?? []).map(({ name }) => name)].map((name) => ({
			key: name,
			label: name === "" ? "none" : name,
			current: name === state.value.by,
			choose: () => update({ by: name })
		}))
	});
}
function TypePicker() {
	const current = profileType.value;
	const known = types.data.value ?? [];
	const choices = known.includes(current) ? known : [current, ...known];
	return /* @__PURE__ */ a(Popover, {
		align: "right",
		title: "Profile type",
		label: /* @__PURE__ */ a($, { children: [
			typeLabel(current),
			" ",
			/* @__PURE__ */ a(Icon, { name: "down" })
		] }),
		children: (close) => /* @__PURE__ */ a(Menu, {
			close,
			items: choices.map((type) => ({
				key: type,
				label: /* @__PURE__ */ a($, { children: [
					typeLabel(type),
					" ",
					/* @__PURE__ */ a("small", { children: type })
				] }),
				current: type === current,
				choose: () => update({
					type,
					focus: ""
				})
			}))
		})
	});
}
// src/chart/timeline.ts
var LEFT_PX = 46;
var RIGHT_PX = 10;
var TOP_PX = 9;
var BOTTOM_PX = 20;
var TICK_PX = 105;
var BRUSH_MIN_PX = 4;
var FONT = "10px Inter, \"Segoe UI\", Roboto, system-ui, sans-serif";
var Timeline = class {
	host;
	events;
	canvas = document.createElement("canvas");
	context;
	observer;
	data;
	width = 0;
	height = 0;
	hoverX = -1;
	dragFrom = -1;
	dragged = false;
	constructor(host, events) {
		this.host = host;
		this.events = events;
		const context = this.canvas.getContext("2d");
		if (!context) throw new Error("this browser has no 2D canvas");
		this.context = context;
		this.canvas.setAttribute("role", "img");
		host.append(this.canvas);
		this.observer = new ResizeObserver(() => this.resize());
		this.observer.observe(host);
		this.canvas.addEventListener("pointerdown", (event) => this.onDown(event));
		this.canvas.addEventListener("pointermove", (event) => this.onMove(event));
		this.canvas.addEventListener("pointerup", (event) => this.onUp(event));
		this.canvas.addEventListener("pointercancel", () => this.dragFrom = -1);
		this.canvas.addEventListener("pointerleave", () => this.setHover(-1, 0, 0));
	}
	dispose() {
		this.observer.disconnect();
		this.canvas.remove();
	}
	show(data, label) {
		this.data = data;
		this.canvas.setAttribute("aria-label", label);
		this.draw();
	}
	resize() {
		const { width, height } = this.host.getBoundingClientRect();
		const ratio = devicePixelRatio || 1;
		this.width = width;
		this.height = height;
		this.canvas.width = Math.round(width * ratio);
		this.canvas.height = Math.round(height * ratio);
		this.canvas.style.width = `${width}px`;
		this.canvas.style.height = `${height}px`;
		this.draw();
	}
	onDown(event) {
		if (event.button !== 0) return;
		this.dragFrom = event.offsetX;
		this.dragged = false;
		this.canvas.setPointerCapture(event.pointerId);
	}
	onMove(event) {
		if (this.dragFrom >= 0 && (this.dragged || Math.abs(event.offsetX - this.dragFrom) >= BRUSH_MIN_PX)) {
			this.dragged = true;
			this.brush(event.offsetX, false);
		}
		this.setHover(event.offsetX, event.clientX, event.clientY);
	}
	onUp(event) {
		if (this.dragFrom < 0) return;
		if (this.dragged) this.brush(event.offsetX, true);
		else this.events.brush(null, true);
		this.dragFrom = -1;
	}
	brush(x, done) {
		const { data } = this;
		if (!data) return;
		const snap = (px) => Math.round((this.timeAt(px) - data.start) / data.stepMs) * data.stepMs + data.start;
		const from = Math.max(data.range.from, snap(Math.min(x, this.dragFrom)));
		const to = Math.min(data.range.to, Math.max(snap(Math.max(x, this.dragFrom)), from + data.stepMs));
		if (to > from) this.events.brush({
			from,
			to
		}, done);
	}
	setHover(x, clientX, clientY) {
		this.hoverX = x;
		const { data } = this;
		const step = data !== void 0 && x >= LEFT_PX && x <= this.width - RIGHT_PX ? Math.floor((this.timeAt(x) - data.start) / data.stepMs) : -1;
		this.events.hover(step, clientX, clientY);
		this.draw();
	}
	timeAt(x) {
		const { from, to } = this.data?.range ?? {
			from: 0,
			to: 1
		};
		const share = (x - LEFT_PX) / Math.max(1, this.width - LEFT_PX - RIGHT_PX);
		return from + Math.max(0, Math.min(1, share)) * (to - from);
	}
	xOf(time) {
		const { from, to } = this.data?.range ?? {
			from: 0,
			to: 1
		};
		return LEFT_PX + (time - from) / (to - from) * (this.width - LEFT_PX - RIGHT_PX);
	}
	draw() {
		const { data, context, width, height } = this;
		const ratio = devicePixelRatio || 1;
		context.setTransform(ratio, 0, 0, ratio, 0, 0);
		context.clearRect(0, 0, width, height);
		if (!data || width < 80) return;
		const style = getComputedStyle(this.host);
		const ink = {
			text: style.getPropertyValue("--muted"),
			grid: style.getPropertyValue("--line")
		};
		const stacked = stack(data.series);
		const top = niceMaximum(stacked.max);
		const bottom = height - BOTTOM_PX;
		const yOf = (value) => bottom - (bottom - TOP_PX) * value / top;
		this.drawAxes(data, ink, top, yOf);
		context.save();
		context.beginPath();
		context.rect(LEFT_PX, 0, width - LEFT_PX - RIGHT_PX, bottom + 1);
		context.clip();
		this.drawAreas(data, stacked.sums, yOf);
		context.restore();
		this.drawSelection(data, style.getPropertyValue("--accent-2"), bottom);
		this.drawHover(ink.text, bottom);
	}
	drawAxes(data, ink, top, yOf) {
		const { context, width, height } = this;
		context.font = FONT;
		context.fillStyle = ink.text;
		context.strokeStyle = ink.grid;
		context.lineWidth = 1;
		context.textAlign = "right";
		context.textBaseline = "middle";
		for (const value of [
			0,
			top / 2,
			top
		]) {
			const y = Math.round(yOf(value)) + .5;
			context.beginPath();
			context.moveTo(LEFT_PX, y);
			context.lineTo(width - RIGHT_PX, y);
			context.stroke();
			context.fillText(data.formatAxis(value), 39, y);
		}
		context.textAlign = "center";
		context.textBaseline = "top";
		const ticks = timeTicks(data.range, Math.max(2, Math.floor((width - LEFT_PX) / TICK_PX)));
		for (const tick of ticks) {
			const x = this.xOf(tick.time);
			const half = context.measureText(tick.label).width / 2;
			if (x - half < 32 || x + half > width) continue;
			context.fillText(tick.label, x, height - BOTTOM_PX + 6);
		}
	}
	/** Points stand in the middle of their step; the first and last reach to the edges. */
	drawAreas(data, sums, yOf) {
		const { context } = this;
		const count = visibleSteps(data);
		if (count === 0) return;
		const xs = Float64Array.from({ length: count }, (_, step) => this.xOf(data.start + (step + .5) * data.stepMs));
		const [first, last] = [this.xOf(data.start), this.xOf(data.start + count * data.stepMs)];
		const trace = (values) => {
			context.lineTo(first, yOf(values[0]));
			for (let step = 0; step < count; step++) context.lineTo(xs[step], yOf(values[step]));
			context.lineTo(last, yOf(values[count - 1]));
		};
		const traceBack = (values) => {
			context.lineTo(last, yOf(values[count - 1]));
			for (let step = count - 1; step >= 0; step--) context.lineTo(xs[step], yOf(values[step]));
			context.lineTo(first, yOf(values[0]));
		};
		data.series.forEach(({ color }, index) => {
			context.beginPath();
			trace(sums[index + 1]);
			context.strokeStyle = color;
			context.lineWidth = 1.4;
			context.stroke();
			traceBack(sums[index]);
			context.closePath();
			context.globalAlpha = data.series.length > 1 ? .6 : .2;
			context.fillStyle = color;
			context.fill();
			context.globalAlpha = 1;
		});
	}
	drawSelection(data, color, bottom) {
		const { context } = this;
		if (!data.selection) return;
		const left = Math.max(LEFT_PX, this.xOf(data.selection.from));
		const right = Math.min(this.width - RIGHT_PX, this.xOf(data.selection.to));
		if (right <= left) return;
		context.fillStyle = color;
		context.globalAlpha = .16;
		context.fillRect(left, TOP_PX, right - left, bottom - TOP_PX);
		context.globalAlpha = 1;
		context.fillRect(left, TOP_PX, 1.5, bottom - TOP_PX);
		context.fillRect(right - 1.5, TOP_PX, 1.5, bottom - TOP_PX);
	}
	drawHover(color, bottom) {
		const { context, hoverX } = this;
		if (hoverX < LEFT_PX || hoverX > this.width - RIGHT_PX) return;
		context.strokeStyle = color;
		context.globalAlpha = .7;
		context.beginPath();
		context.moveTo(Math.round(hoverX) + .5, TOP_PX);
		context.lineTo(Math.round(hoverX) + .5, bottom);
		context.stroke();
		context.globalAlpha = 1;
	}
};
/** Without the newest steps that are not over yet: they would look like a drop. */
function visibleSteps({ start, stepMs, series, range }) {
	const count = Math.max(0, ...series.map(({ values }) => values.length));
	return count > 2 && start + count * stepMs > range.to - stepMs / 2 ? Math.max(1, count - 1) : count;
}
/** Running sums of the series, below the first and above each. */
function stack(series) {
	const count = Math.max(0, ...series.map(({ values }) => values.length));
	const sums = [new Float64Array(count)];
	let max = 0;
	for (const { values } of series) {
		const below = sums[sums.length - 1];
		sums.push(below.map((value, step) => value + (values[step] ?? 0)));
	}
	for (const value of sums[sums.length - 1]) max = Math.max(max, value);
	return {
		sums,
		max
	};
}
/** The next of 1, 1.5, 2, 2.5, 3 … times a power of ten. */
function niceMaximum(max) {
	if (!(max > 0)) return 1;
	const magnitude = 10 ** Math.floor(Math.log10(max));
	return Number((Math.ceil(max / magnitude * 2 - 1e-9) / 2 * magnitude).toPrecision(3));
}
var TICK_STEPS_MIN = [
	1 / 6,
	.5,
	1,
	2,
	5,
	10,
	15,
	30,
	60,
	120,
	180,
	360,
	720,
	1440,
	2880,
	10080
];
/** Round local times; midnights show their date. */
function timeTicks({ from, to }, count) {
	const wanted = (to - from) / 6e4 / count;
	const step = (TICK_STEPS_MIN.find((minutes) => minutes >= wanted) ?? 10080) * 6e4;
	const zone = new Date(from).getTimezoneOffset() * 6e4;
	const ticks = [];
	for (let time = Math.ceil((from - zone) / step) * step + zone; time <= to; time += step) {
		const clock = formatClock(time, step < 6e4);
		ticks.push({
			time,
			label: clock === "00:00" ? formatDate(time).slice(5) : clock
		});
	}
	return ticks;
}
// src/components/timelinepanel.tsx
var SERIES_MAX = 8;
var COLORS = {
	dark: [
		"#6ea8fe",
		"#45b3bd",
		"#a58be0",
		"#ff8a3d",
		"#5fbf77",
		"#e0729c",
		"#cfa63d",
		"#8793ab"
	],
	light: [
		"#2f6fe4",
		"#1f8f9a",
		"#7c5ccc",
		"#d9590a",
		"#2f8f4b",
		"#c24478",
		"#a67c00",
		"#5c6880"
	]
};
var REST_COLOR = {
	dark: "#4a5468",
	light: "#aeb5c2"
};
/** Series as rates, the largest first, everything beyond the eighth summed up. */
var groups = O(() => {
	const answer = series.data.value;
	if (!answer) return [];
	const { by } = state.value;
	const perStep = rateDivisor(profileType.value, answer.step_ms);
	const colors = COLORS[theme.value];
	const ranked = answer.series.map(({ labels, values }) => ({
		label: labels[by] ?? "",
		values: values.map((value) => value / perStep)
	})).sort((a, b) => sum(b.values) - sum(a.values));
	const shown = ranked.slice(0, SERIES_MAX).map(({ label, values }, index) => ({
		label,
		name: by === "" ? "CPU" : label === "" ? "(none)" : label,
		color: colors[index % colors.length],
		values
	}));
	const rest = ranked.slice(SERIES_MAX);
	if (rest.length > 0) shown.push(restOf(rest.map(({ values }) => values), REST_COLOR[theme.value]));
	return shown;
});
function restOf(all, color) {
	const values = (all[0] ?? []).map((_, step) => all.reduce((total, one) => total + (one[step] ?? 0), 0));
	return {
		label: void 0,
		name: `${all.length} more`,
		color,
		values
	};
}
function sum(values) {
	return values.reduce((total, value) => total + value, 0);
}
/** Time per elapsed time is cores; counts are per second; sizes stay as they are. */
function rateDivisor(type, stepMs) {
	const { unit } = typeParts(type);
	if (unit === "nanoseconds") return stepMs * 1e6;
	return unit === "bytes" ? 1 : stepMs / 1e3;
}
function rateText(type, value) {
	const { unit } = typeParts(type);
	if (isCpuTime(type)) return `${formatCores(value)} cores`;
	if (unit === "nanoseconds") return `${formatCores(value)} s/s`;
	return unit === "bytes" ? formatBytes(value) : `${formatCount(value)} /s`;
}
function axisText(type, value) {
	const { unit } = typeParts(type);
	if (unit === "bytes") return formatBytes(value);
	if (unit !== "nanoseconds") return formatCount(value);
	return String(Number(value.toPrecision(3)));
}
/** The brush while it is dragged; the URL gets it at the end. */
var dragged = y$1(null);
var chosen = O(() => dragged.value ?? parseSelection(state.value.sel));
var pointer = y$1(null);
function TimelinePanel() {
	const host = T(null);
	const timeline = T(null);
	A$1(() => {
		if (!host.current) return void 0;
		const created = timeline.current = new Timeline(host.current, {
			brush: (selection, done) => {
				dragged.value = done ? null : selection;
				if (done) update({ sel: selection ? `${selection.from}-${selection.to}` : "" });
			},
			hover: (step, x, y) => {
				pointer.value = step < 0 ? null : {
					step,
					x,
					y
				};
			}
		});
		return () => created.dispose();
	}, []);
	const answer = series.data.value;
	const type = profileType.value;
	A$1(() => {
		if (!answer) return;
		timeline.current?.show({
			start: answer.start,
			stepMs: answer.step_ms,
			series: groups.value,
			range: {
				from: answer.start,
				to: Math.max(range.value.to, answer.start + answer.step_ms)
			},
			selection: chosen.value,
			formatAxis: (value) => axisText(type, value)
		}, `${rateText(type, peak())} at most, ${describeSpan(range.value)}`);
	}, [
		answer,
		groups.value,
		chosen.value,
		theme.value,
		type
	]);
	return /* @__PURE__ */ a("section", {
		class: "card timeline",
		"aria-label": "Timeline",
		children: [
			/* @__PURE__ */ a(Legend, {}),
			/* @__PURE__ */ a("div", {
				class: "timeline-canvas",
				ref: host
			}),
			/* @__PURE__ */ a(TimelineTooltip, {})
		]
	});
}
function peak() {
	const totals = (groups.peek()[0]?.values ?? []).map((_, step) => groups.peek().reduce((total, group) => total + (group.values[step] ?? 0), 0));
	return Math.max(0, ...totals);
}
/** Group names that filter, and what to do with the marked part of the range. */
function Legend() {
	const { by } = state.value;
	const marked = chosen.value;
	return /* @__PURE__ */ a("div", {
		class: "timeline-legend",
		children: [
			by === "" && /* @__PURE__ */ a("span", { children: isCpuTime(profileType.value) ? "CPU cores in use" : typeLabel(profileType.value) }),
			by !== "" && groups.value.map((group) => /* @__PURE__ */ a("button", {
				type: "button",
				disabled: group.label === void 0,
				title: `Only ${by} ${group.name}`,
				onClick: () => filterBy(by, group.label ?? ""),
				children: [/* @__PURE__ */ a("i", { style: { background: group.color } }), group.name]
			}, group.name)),
			/* @__PURE__ */ a("span", { class: "spacer" }),
			!marked && /* @__PURE__ */ a("span", {
				class: "quiet hide-small",
				children: "drag to pick a part of the range"
			}),
			marked && /* @__PURE__ */ a($, { children: [
				/* @__PURE__ */ a("span", {
					class: "quiet",
					children: describeSpan(marked)
				}),
				/* @__PURE__ */ a("button", {
					type: "button",
					class: "link",
					onClick: () => update({
						from: String(marked.from),
						to: String(marked.to),
						sel: ""
					}),
					children: [/* @__PURE__ */ a(Icon, { name: "zoom" }), " zoom in"]
				}),
				/* @__PURE__ */ a("button", {
					type: "button",
					class: "link",
					onClick: () => update({ sel: "" }),
					children: [/* @__PURE__ */ a(Icon, { name: "close" }), " clear"]
				})
			] })
		]
	});
}
function filterBy(name, value) {
	const matchers = parseSelector(state.peek().q);
	if (matchers) update({
		q: formatSelector(withEqual(matchers, name, value)),
		by: "",
		focus: ""
	});
}
function TimelineTooltip() {
	const at = pointer.value;
	const answer = series.data.value;
	if (!at || !answer || dragged.value) return null;
	const type = profileType.value;
	const time = answer.start + at.step * answer.step_ms;
	const shown = groups.value.filter((group) => at.step < group.values.length);
	if (shown.length === 0) return null;
	const total = shown.reduce((all, group) => all + (group.values[at.step] ?? 0), 0);
	const place = at.x > innerWidth - 260 ? { right: `${innerWidth - at.x + 14}px` } : { left: `${at.x + 14}px` };
	return /* @__PURE__ */ a("div", {
		class: "tooltip",
		role: "tooltip",
		style: {
			top: `${at.y + 16}px`,
			...place
		},
		children: [/* @__PURE__ */ a("h3", { children: [
			formatDate(time),
			" ",
			formatClock(time, answer.step_ms < 6e4)
		] }), /* @__PURE__ */ a("table", { children: /* @__PURE__ */ a("tbody", { children: [shown.length > 1 && shown.map((group) => /* @__PURE__ */ a("tr", { children: [/* @__PURE__ */ a("th", {
			scope: "row",
			children: [
				/* @__PURE__ */ a("i", { style: { background: group.color } }),
				" ",
				group.name
			]
		}), /* @__PURE__ */ a("td", { children: rateText(type, group.values[at.step] ?? 0) })] }, group.name)), /* @__PURE__ */ a("tr", { children: [/* @__PURE__ */ a("th", {
			scope: "row",
			children: shown.length > 1 ? "All" : "CPU"
		}), /* @__PURE__ */ a("td", { children: rateText(type, total) })] })] }) })]
	});
}
// src/pages/explore.tsx
function ExplorePage() {
	const failure = flame.failure.value ?? series.failure.value;
	const refused = failure !== null && failure.kind !== "unreachable";
	const lostWithoutData = failure !== null && flame.data.value === null;
	return /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a(QueryBar, {}), /* @__PURE__ */ a("main", {
		class: "page",
		children: failure && (refused || lostWithoutData) ? /* @__PURE__ */ a(FailureNotice, { failure }) : /* @__PURE__ */ a($, { children: [
			failure && /* @__PURE__ */ a(FailureBanner, { failure }),
			/* @__PURE__ */ a(TimelinePanel, {}),
			/* @__PURE__ */ a(Profile, {})
		] })
	})] });
}
function Profile() {
	const model = flame.data.value;
	const empty = model !== null && !(model.grandTotal > 0);
	A$1(() => {
		if (empty) loadStatus();
	}, [empty, model]);
	if (!model) return /* @__PURE__ */ a("div", {
		class: "notice quiet",
		children: "Loading…"
	});
	if (empty) return status.data.value?.newest_ms === null ? /* @__PURE__ */ a(Onboarding, {}) : /* @__PURE__ */ a(NothingInRange, { filtered: state.value.q !== "" });
	return /* @__PURE__ */ a("div", {
		class: "split",
		children: [/* @__PURE__ */ a(FunctionPanel, {}), /* @__PURE__ */ a(FlamePanel, { model })]
	});
}
// src/chart/sparkline.tsx
var WIDTH = 132;
var HEIGHT = 26;
function Sparkline({ values, label }) {
	const line = sparkPath(values);
	return /* @__PURE__ */ a("svg", {
		class: "sparkline",
		width: WIDTH,
		height: HEIGHT,
		viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
		role: "img",
		"aria-label": label,
		children: line !== "" && /* @__PURE__ */ a($, { children: [/* @__PURE__ */ a("path", {
			class: "area",
			d: `${line}V${HEIGHT}H0Z`
		}), /* @__PURE__ */ a("path", {
			class: "line",
			d: line
		})] })
	});
}
/** The last step is not over yet and would look like a drop, so it is left out. */
function sparkPath(values) {
	const shown = values.length > 2 ? values.slice(0, -1) : values;
	const max = Math.max(...shown, 0);
	if (max <= 0) return "";
	const step = WIDTH / Math.max(1, shown.length - 1);
	return `M${shown.map((value, index) => {
		const y = 24 - 21 * value / max;
		return `${(index * step).toFixed(1)} ${y.toFixed(1)}`;
	}).join("L")}`;
}
// src/pages/fleet.tsx
var KERNEL = LAYERS.indexOf("kernel");
var services = O(() => {
	const all = overview.data.value?.services ?? [];
	const expression = pattern.value;
	return expression instanceof RegExp ? all.filter(({ name }) => expression.test(name)) : all;
});
function FleetPage() {
	const data = overview.data.value;
	const failure = overview.failure.value;
	const empty = data !== null && data.services.length === 0;
	A$1(() => {
		if (empty) loadStatus();
	}, [empty, data]);
	if (failure && !data) return /* @__PURE__ */ a(FailureNotice, { failure });
	if (!data) return /* @__PURE__ */ a("div", {
		class: "notice quiet",
		children: "Loading…"
	});
	if (empty) {
		const newest = status.data.value;
		if (failure) return /* @__PURE__ */ a(FailureNotice, { failure });
		if (!newest) return /* @__PURE__ */ a("div", {
			class: "notice quiet",
			children: "Loading…"
		});
		return newest.newest_ms === null ? /* @__PURE__ */ a(Onboarding, {}) : /* @__PURE__ */ a(NothingInRange, { filtered: false });
	}
	return /* @__PURE__ */ a("main", {
		class: "page",
		children: [
			failure && /* @__PURE__ */ a(FailureBanner, { failure }),
			/* @__PURE__ */ a(Figures, { data }),
			/* @__PURE__ */ a("section", {
				class: "card services",
				children: /* @__PURE__ */ a(ServiceTable, { data })
			})
		]
	});
}
function Figures({ data }) {
	const type = profileType.value;
	const { unit } = typeParts(type);
	const kernel = data.services.reduce((sum, service) => sum + (service.layers[KERNEL] ?? 0), 0);
	const hottest = hottestFunction(data.services);
	return /* @__PURE__ */ a("div", {
		class: "figures",
		children: [
			isCpuTime(type) ? /* @__PURE__ */ a(Figure, {
				label: "CPU in use",
				value: formatCores(data.cores),
				note: data.cores === 1 ? "core" : "cores"
			}) : /* @__PURE__ */ a(Figure, {
				label: typeLabel(type),
				value: formatValue(unit, data.total),
				note: "in all"
			}),
			/* @__PURE__ */ a(Figure, {
				label: "Services",
				value: String(data.services.length),
				note: `on ${data.hosts} ${data.hosts === 1 ? "host" : "hosts"}`
			}),
			/* @__PURE__ */ a(Figure, {
				label: "Kernel share",
				value: formatShare(kernel, data.total),
				note: `${formatValue(unit, kernel)} in the kernel`
			}),
			hottest && /* @__PURE__ */ a(Figure, {
				label: "Hottest function",
				value: formatShare(hottest.self, data.total),
				note: `${listName(hottest.function)} in ${hottest.service}`
			})
		]
	});
}
function Figure({ label, value, note }) {
	return /* @__PURE__ */ a("div", {
		class: "card figure",
		children: [/* @__PURE__ */ a("span", { children: label }), /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("strong", { children: value }), /* @__PURE__ */ a("small", {
			class: "ellipsis",
			title: note,
			children: note
		})] })]
	});
}
function hottestFunction(all) {
	let best = null;
	for (const { name, hottest } of all) if (hottest && (!best || hottest.self > best.self)) best = {
		service: name,
		function: hottest.name,
		self: hottest.self
	};
	return best;
}
function ServiceTable({ data }) {
	const cpu = isCpuTime(profileType.value);
	const largest = data.services[0]?.total ?? 0;
	return /* @__PURE__ */ a("table", {
		class: "service-table",
		"aria-label": "Services by CPU",
		children: [/* @__PURE__ */ a("thead", { children: /* @__PURE__ */ a("tr", { children: [
			/* @__PURE__ */ a("th", {
				class: "service-head",
				children: ["Service", /* @__PURE__ */ a("input", {
					id: "search",
					class: "input",
					type: "search",
					placeholder: "Filter services",
					"aria-label": "Filter services",
					value: search.value,
					onInput: (event) => update({ search: event.currentTarget.value }, "replace")
				})]
			}),
			/* @__PURE__ */ a("th", {
				class: "right",
				children: cpu ? "CPU cores ↓" : "Total ↓"
			}),
			/* @__PURE__ */ a("th", { children: "Share" }),
			/* @__PURE__ */ a("th", {
				class: "hide-small",
				children: describeRange(state.value.from, state.value.to)
			}),
			/* @__PURE__ */ a("th", {
				class: "hide-small",
				children: "Where it goes"
			}),
			/* @__PURE__ */ a("th", {
				class: "hide-small",
				children: "Hottest function"
			})
		] }) }), /* @__PURE__ */ a("tbody", { children: [services.value.map((service) => /* @__PURE__ */ a(ServiceRow, {
			service,
			fleetTotal: data.total,
			largest,
			cpu
		}, service.name)), services.value.length === 0 && /* @__PURE__ */ a("tr", {
			class: "empty-row",
			children: /* @__PURE__ */ a("td", {
				colSpan: 6,
				children: [
					"No service matches “",
					search.value,
					"”."
				]
			})
		})] })]
	});
}
function ServiceRow({ service, fleetTotal, largest, cpu }) {
	const target = {
		page: "explore",
		q: formatSelector([{
			name: "service_name",
			operator: "=",
			value: service.name
		}]),
		search: "",
		focus: "",
		fn: "",
		view: "flame"
	};
	const { unit } = typeParts(profileType.value);
	return /* @__PURE__ */ a("tr", {
		"data-service": service.name,
		onClick: () => update(target),
		children: [
			/* @__PURE__ */ a("td", {
				class: "service-name",
				children: /* @__PURE__ */ a("a", {
					href: formatUrl({
						...state.value,
						...target
					}),
					onClick: (event) => {
						if (event.ctrlKey || event.metaKey || event.shiftKey) event.stopPropagation();
						else event.preventDefault();
					},
					children: service.name
				})
			}),
			/* @__PURE__ */ a("td", {
				class: "right",
				children: cpu ? formatCores(service.cores) : formatValue(unit, service.total)
			}),
			/* @__PURE__ */ a("td", { children: /* @__PURE__ */ a("span", {
				class: "share",
				children: [/* @__PURE__ */ a("span", {
					class: "meter",
					children: /* @__PURE__ */ a("i", { style: {
						width: `${largest > 0 ? 100 * service.total / largest : 0}%`,
						background: "var(--accent)"
					} })
				}), /* @__PURE__ */ a("span", {
					class: "quiet",
					children: formatShare(service.total, fleetTotal)
				})]
			}) }),
			/* @__PURE__ */ a("td", {
				class: "hide-small",
				children: /* @__PURE__ */ a(Sparkline, {
					values: service.values,
					label: `${service.name} over time`
				})
			}),
			/* @__PURE__ */ a("td", {
				class: "hide-small",
				children: /* @__PURE__ */ a(LayerMix, { layers: service.layers })
			}),
			/* @__PURE__ */ a("td", {
				class: "hide-small hottest ellipsis",
				title: service.hottest?.name,
				children: service.hottest ? listName(service.hottest.name) : "–"
			})
		]
	});
}
function LayerMix({ layers }) {
	const total = layers.reduce((sum, value) => sum + value, 0);
	const text = layers.map((value, layer) => `${LAYERS[layer] ?? ""} ${formatShare(value, total)}`).join(", ");
	return /* @__PURE__ */ a("span", {
		class: "meter",
		role: "img",
		"aria-label": text,
		title: text,
		children: layers.map((value, layer) => /* @__PURE__ */ a("i", { style: {
			width: `${total > 0 ? 100 * value / total : 0}%`,
			background: layerColor(layer)
		} }, layer))
	});
}
// src/components/unnamed.tsx
function UnnamedTable() {
	const data = unnamed.data.value;
	const failure = unnamed.failure.value;
	const binaries = data?.binaries ?? [];
	const hidden = data ? data.count - binaries.length : 0;
	return /* @__PURE__ */ a("section", {
		class: "card agents unnamed",
		children: [
			/* @__PURE__ */ a("h2", { children: ["Code without names ", /* @__PURE__ */ a("span", {
				class: "quiet",
				children: "in the last hour"
			})] }),
			failure && !data && /* @__PURE__ */ a("p", {
				class: "quiet",
				children: failure.message
			}),
			!data && !failure && /* @__PURE__ */ a("p", {
				class: "quiet",
				children: "Loading…"
			}),
			data && binaries.length === 0 && /* @__PURE__ */ a("p", {
				class: "quiet",
				children: data.total === 0 ? "No CPU time was recorded." : "Every sample of CPU time has a name."
			}),
			data && binaries.length > 0 && /* @__PURE__ */ a($, { children: [
				/* @__PURE__ */ a("p", {
					class: "quiet",
					children: [formatShare(data.leaf_share, 1), " of the CPU time was spent in functions nobody could name."]
				}),
				/* @__PURE__ */ a("table", {
					class: "service-table",
					children: [/* @__PURE__ */ a("thead", { children: /* @__PURE__ */ a("tr", { children: [
						/* @__PURE__ */ a("th", { children: "Binary" }),
						/* @__PURE__ */ a("th", {
							class: "right",
							title: "part of the CPU time spent in its unnamed code itself",
							children: "Self"
						}),
						/* @__PURE__ */ a("th", {
							class: "right",
							title: "part of the CPU time in stacks with unnamed code of it",
							children: "Total"
						}),
						/* @__PURE__ */ a("th", {
							class: "right",
							title: "addresses without a name, each stored piece counted apart",
							children: "Places"
						}),
						/* @__PURE__ */ a("th", { children: "What would name it" })
					] }) }), /* @__PURE__ */ a("tbody", { children: binaries.map((binary) => /* @__PURE__ */ a(Row, { binary }, `${binary.binary} ${binary.build_id}`)) })]
				}),
				hidden > 0 && /* @__PURE__ */ a("p", {
					class: "quiet",
					children: [
						"and ",
						formatCount(hidden),
						" more"
					]
				})
			] })
		]
	});
}
function Row({ binary }) {
	const path = binary.binary === "" ? "(no file)" : binary.binary;
	return /* @__PURE__ */ a("tr", { children: [
		/* @__PURE__ */ a("td", { children: [/* @__PURE__ */ a("div", {
			class: "path",
			title: path,
			children: /* @__PURE__ */ a("bdi", { children: path })
		}), /* @__PURE__ */ a("div", {
			class: "quiet mono id",
			title: binary.build_id,
			children: binary.build_id === "" ? "no build ID" : binary.build_id
		})] }),
		/* @__PURE__ */ a("td", {
			class: "right",
			children: formatShare(binary.leaf_share, 1)
		}),
		/* @__PURE__ */ a("td", {
			class: "right",
			children: formatShare(binary.share, 1)
		}),
		/* @__PURE__ */ a("td", {
			class: "right",
			children: formatCount(binary.places)
		}),
		/* @__PURE__ */ a("td", {
			class: "hint",
			children: binary.hint
		})
	] });
}
// src/pages/status.tsx
/** An agent that sent nothing for this long is shown as silent. */
var SILENT_MS = 6e4;
function StatusPage() {
	const data = status.data.value;
	const failure = status.failure.value;
	if (!data) return failure ? /* @__PURE__ */ a(FailureNotice, { failure }) : /* @__PURE__ */ a("div", {
		class: "notice quiet",
		children: "Loading…"
	});
	return /* @__PURE__ */ a("main", {
		class: "page scroll",
		children: [
			failure && /* @__PURE__ */ a(FailureBanner, { failure }),
			[data.storage.error, data.storage.corruption].map((problem) => problem && /* @__PURE__ */ a("div", {
				class: "banner",
				role: "alert",
				children: [
					/* @__PURE__ */ a("b", { children: "Storage." }),
					" ",
					problem
				]
			}, problem)),
			/* @__PURE__ */ a("div", {
				class: "facts",
				children: [
					/* @__PURE__ */ a(ServerFacts, { data }),
					/* @__PURE__ */ a(IngestFacts, { data }),
					/* @__PURE__ */ a(StorageFacts, { data })
				]
			}),
			/* @__PURE__ */ a(AgentTable, { agents: data.agents }),
			/* @__PURE__ */ a(UnnamedTable, {}),
			/* @__PURE__ */ a(Grafana, {})
		]
	});
}
function Facts({ title, rows }) {
	return /* @__PURE__ */ a("section", {
		class: "card fact",
		children: [/* @__PURE__ */ a("h2", { children: title }), /* @__PURE__ */ a("dl", { children: rows.map(([name, value]) => /* @__PURE__ */ a("div", { children: [/* @__PURE__ */ a("dt", { children: name }), /* @__PURE__ */ a("dd", {
			title: value,
			children: value
		})] }, name)) })]
	});
}
function ServerFacts({ data }) {
	return /* @__PURE__ */ a(Facts, {
		title: "Server",
		rows: [
			["State", data.ready ? "ready" : "not ready"],
			["Version", data.version],
			["Up for", formatDuration(data.uptime_ms)]
		]
	});
}
function IngestFacts({ data: { ingest } }) {
	return /* @__PURE__ */ a(Facts, {
		title: "Ingest since start",
		rows: [
			["Requests", formatCount(ingest.requests)],
			["Rejected", formatCount(ingest.rejected)],
			["Samples", formatCount(ingest.samples)],
			["Rows", formatCount(ingest.rows)]
		]
	});
}
function StorageFacts({ data: { storage, symbols, oldest_ms, newest_ms } }) {
	const kept = symbols ? [["Symbols", symbols.files === 0 ? "none" : `${formatCount(symbols.files)} binaries, ${formatBytes(symbols.bytes)}`]] : [];
	return /* @__PURE__ */ a(Facts, {
		title: "Storage",
		rows: [
			["Directory", storage.dir],
			["Size", `${formatBytes(storage.bytes)} in ${formatCount(storage.segments)} segments`],
			["In memory", `${formatCount(storage.head_rows)} rows`],
			...kept,
			["Oldest", oldest_ms === null ? "nothing stored" : formatTimestamp(oldest_ms)],
			["Newest", newest_ms === null ? "nothing stored" : formatTimestamp(newest_ms)]
		]
	});
}
function AgentTable({ agents }) {
	return /* @__PURE__ */ a("section", {
		class: "card agents",
		children: [/* @__PURE__ */ a("h2", { children: "Agents" }), agents.length === 0 ? /* @__PURE__ */ a("p", {
			class: "quiet",
			children: "No agent has sent anything since the server started."
		}) : /* @__PURE__ */ a("table", {
			class: "service-table",
			children: [/* @__PURE__ */ a("thead", { children: /* @__PURE__ */ a("tr", { children: [
				/* @__PURE__ */ a("th", { children: "Host" }),
				/* @__PURE__ */ a("th", { children: "Last seen" }),
				/* @__PURE__ */ a("th", {
					class: "right",
					children: "Samples"
				}),
				/* @__PURE__ */ a("th", {
					class: "right",
					children: "Lost"
				})
			] }) }), /* @__PURE__ */ a("tbody", { children: agents.map((agent) => /* @__PURE__ */ a(AgentRow, { agent }, agent.host)) })]
		})]
	});
}
function AgentRow({ agent }) {
	const age = Date.now() - agent.last_seen_ms;
	const lost = agent.lost ?? 0;
	return /* @__PURE__ */ a("tr", { children: [
		/* @__PURE__ */ a("td", { children: agent.host === "" ? "(unnamed)" : agent.host }),
		/* @__PURE__ */ a("td", {
			title: formatTimestamp(agent.last_seen_ms),
			children: [
				/* @__PURE__ */ a("span", { class: age > SILENT_MS ? "dot off" : "dot" }),
				" ",
				formatDuration(age),
				" ago"
			]
		}),
		/* @__PURE__ */ a("td", {
			class: "right",
			children: formatCount(agent.samples)
		}),
		/* @__PURE__ */ a("td", {
			class: lost > 0 ? "right bad" : "right",
			title: lossTitle(agent),
			children: [agent.lost === null ? "–" : formatCount(lost), lost > 0 && ` (${formatShare(lost, agent.samples + lost)})`]
		})
	] });
}
function lossTitle({ lost, lost_by_reason }) {
	if (lost === null) return "this agent does not report losses";
	return Object.entries(lost_by_reason ?? {}).map(([reason, count]) => `${reason.replaceAll("_", " ")}: ${formatCount(count)}`).join("\n") || void 0;
}
/** Hearth answers Pyroscope's query API, so Grafana's data source works as it is. */
function Grafana() {
	const yaml = `apiVersion: 1
datasources:
  - name: Hearth
    type: grafana-pyroscope-datasource
    access: proxy
    url: ${location.origin}
`;
	return /* @__PURE__ */ a("section", {
		class: "card grafana",
		children: [
			/* @__PURE__ */ a("h2", { children: "Grafana" }),
			/* @__PURE__ */ a("p", {
				class: "quiet",
				children: "Hearth answers Pyroscope’s query API. Provision it as a data source:"
			}),
			/* @__PURE__ */ a("div", {
				class: "command",
				children: [/* @__PURE__ */ a("pre", { children: yaml }), /* @__PURE__ */ a(CopyButton, { text: yaml })]
			})
		]
	});
}
// src/testhook.ts
function installTestHook() {
	const main = () => charts.get("main");
	window.__hearth = {
		drawnRects: () => main()?.drawn.rects ?? 0,
		selectedName: () => nameAt(main(), main()?.selected ?? -1),
		focusName: () => nameAt(main(), main()?.focus ?? -1),
		visibleRange: () => {
			const chart = main();
			const whole = chart?.model?.grandTotal ?? 1;
			return {
				left: (chart?.viewport.left ?? 0) / whole,
				right: (chart?.viewport.right ?? whole) / whole
			};
		},
		frameCentre: (name) => {
			const chart = main();
			const node = chart ? widest(chart, (at) => nameAt(chart, at) === name && chart.centreOf(at) !== null) : -1;
			const centre = chart && node >= 0 ? chart.centreOf(node) : null;
			if (!chart || !centre) return null;
			const box = chart.canvas.getBoundingClientRect();
			return {
				x: box.left + centre.x,
				y: box.top + centre.y
			};
		},
		widestAt: (level) => {
			const chart = main();
			return chart ? nameAt(chart, widest(chart, (at) => chart.model?.level[at] === level)) : "";
		},
		nodeCount: () => main()?.model?.nodeCount ?? 0,
		paintTimes: () => main()?.paintTimes.slice() ?? []
	};
}
function nameAt(chart, node) {
	return chart?.model && node >= 0 ? nodeName(chart.model, node) : "";
}
function widest(chart, wanted) {
	const model = chart.model;
	let best = -1;
	for (let node = 0; model && node < model.nodeCount; node++) if ((best < 0 || model.total[node] > model.total[best]) && wanted(node)) best = node;
	return best;
}
// src/main.tsx
var PAGES = {
	fleet: FleetPage,
	explore: ExplorePage,
	status: StatusPage
};
function App() {
	const Page = PAGES[page.value];
	const title = titleOf();
	A$1(() => {
		document.title = title;
	}, [title]);
	A$1(() => {
		document.addEventListener("keydown", onKey);
		return () => document.removeEventListener("keydown", onKey);
	}, []);
	return /* @__PURE__ */ a("div", {
		class: "app",
		children: [
			/* @__PURE__ */ a(TopBar, { title }),
			/* @__PURE__ */ a(Progress, {}),
			/* @__PURE__ */ a(Page, {}),
			/* @__PURE__ */ a(FlameTooltip, {})
		]
	});
}
/** A thin line while another question is being answered; a refresh stays silent. */
function Progress() {
	return (page.value === "fleet" ? [overview] : page.value === "explore" ? [flame, series] : []).some((one) => one.loading.value && (one.stale.value || one.data.value === null)) ? /* @__PURE__ */ a("div", {
		class: "progress",
		role: "progressbar",
		"aria-label": "Loading"
	}) : null;
}
function titleOf() {
	if (page.value === "fleet") return "Fleet · Hearth";
	if (page.value === "status") return "Status · Hearth";
	return `${equalTo(parseSelector(state.value.q), "service_name") ?? "Explore"} · Hearth`;
}
/** `/` jumps to the search field from anywhere but another field. */
function onKey(event) {
	if (event.key !== "/" || event.ctrlKey || event.metaKey) return;
	if (event.target instanceof Element && event.target.matches("input, textarea, select")) return;
	const search = document.getElementById("search");
	if (search instanceof HTMLInputElement) {
		event.preventDefault();
		search.focus();
		search.select();
	}
}
startState();
startData();
installTestHook();
var root = document.getElementById("app");
if (root) Q(/* @__PURE__ */ a(App, {}), root);
