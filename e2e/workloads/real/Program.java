// Java: collections, streams, strings, recursion; interpreted first, then compiled.
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class Program {
    static int fib(int n) {
        return n < 2 ? n : fib(n - 1) + fib(n - 2);
    }

    static String words(int count) {
        Map<String, Integer> seen = new HashMap<>();
        for (int i = 0; i < count; i++) {
            seen.merge("w" + (i * 7919L % 5003), 1, Integer::sum);
        }
        List<String> keys = new ArrayList<>(seen.keySet());
        keys.sort(Comparator.comparing((String key) -> -seen.get(key)).thenComparing(key -> key));
        return keys.get(0);
    }

    public static void main(String[] arguments) {
        for (int round = 0; round < 8; round++) {
            System.out.println(fib(34) + " " + words(600_000));
        }
    }
}
