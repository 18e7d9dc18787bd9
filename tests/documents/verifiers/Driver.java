import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Base64;
import java.util.Scanner;

public final class Driver {
    public static void main(String[] arguments) throws Exception {
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String[] fields = lines.nextLine().split("\t", -1);
            byte[] body = Base64.getDecoder().decode(fields[1]);
            String[] texts = new String[fields.length];
            for (int i = 2; i < fields.length; i++) texts[i] = new String(Base64.getDecoder().decode(fields[i]), UTF_8);
            System.out.println(
                    fields[0].equals("signature")
                            ? Verify.signature(body, texts[2], texts[3])
                            : Verify.webhook(body, texts[2], texts[3], texts[4], texts[5]));
        }
    }
}
